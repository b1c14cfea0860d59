"""Choose what is said about a patient's studies: one notice per study and model, the loudest first.

An older study's card gives way to a newer study's about the same finding, when the newer one is at
least as loud; a critical one only when the newer one is really shown. What a site or an
acknowledgement holds back is left out before that, except that it may still replace older news.

Source: architecture "What a card says"; docs/reference/hook-service.md, "How often it speaks".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.domain.alert import AlertPolicies, Standing, is_held_back, standing
from cds_service.domain.binding import MISMATCH_CODES
from cds_service.domain.card import Card, Indicator
from cds_service.domain.finding import AnalysisStatus, Finding
from cds_service.domain.hook import Hook, HookCall
from cds_service.domain.job import Job, JobState
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.usecases.card_words import indicator_of, open_findings
from cds_service.usecases.compose_card import Circumstances
from cds_service.usecases.hook_desk import HookDesk
from cds_service.usecases.limit_alerts import Notice
from cds_service.usecases.look_up_studies import Known
from cds_service.usecases.suggest_actions import suggest_follow_up

MAX_EARLIER = 3  # earlier studies that one card names


@dataclass(frozen=True, slots=True)
class _News:
    """One study that something could be said about."""

    known: Known
    finding: Finding | None
    code: str
    indicator: Indicator
    standing: Standing
    is_silent: bool  # by the site's wish, or because there is nothing to say

    @property
    def is_positive(self) -> bool:
        return self.finding is not None and self.finding.present is True

    def is_later_than(self, other: "_News") -> bool:
        mine, theirs = self.known.started, other.known.started
        return mine is not None and theirs is not None and mine > theirs

    def replaces(self, older: "_News") -> bool:
        """Tell whether this later analysis of the same finding makes the older card superfluous."""
        is_same = self.finding is not None and self.code == older.code and self is not older
        mine, theirs = self._loudness(), older._loudness()
        is_enough = self.indicator.rank >= older.indicator.rank
        is_safe = older.indicator is not Indicator.CRITICAL or not self.is_silent
        # An older study may have shown more than the one finding that both cards speak about.
        is_whole = all(mine.get(code, -1) >= rank for code, rank in theirs.items())
        return is_same and self.is_later_than(older) and is_enough and is_safe and is_whole

    def _loudness(self) -> dict[str, int]:
        """Return how loud each of the study's present findings is, by its code."""
        findings = self.known.result.analysis.findings if self.known.result else ()
        return {one.coding.code: indicator_of(one).rank for one in findings if one.present}


def choose_notices(
    known: Sequence[Known], policies: AlertPolicies, call: HookCall, tenant: Tenant, desk: HookDesk
) -> list[Notice]:
    """Return the notices that remain, the loudest first and of these the newest first."""
    news = _all_news(known, policies, call, tenant, desk)
    remaining = [
        one for one in news if not one.is_silent and not any(n.replaces(one) for n in news)
    ]
    remaining.sort(key=lambda one: one.indicator.rank, reverse=True)
    notices = (_notice(one, news, call, desk) for one in remaining)
    return [notice for notice in notices if notice is not None]


def _all_news(
    known: Sequence[Known], policies: AlertPolicies, call: HookCall, tenant: Tenant, desk: HookDesk
) -> list[_News]:
    result_ids = [one.result.id for one in known if one.result]
    reactions = desk.alerts.reactions(call.tenant_id, result_ids) if result_ids else []
    reader = desk.writer.reader(call)

    def news_of(one: Known, finding: Finding | None) -> _News:
        code = finding.coding.code if finding else desk.writer.finding_code(one.result)
        indicator = indicator_of(finding)
        stands = standing(
            reactions,
            result_id=one.result.id if one.result else "",
            finding_code=code,
            service_id=call.service_id,
            hook=call.hook,
            reader=reader,
        )
        is_silent = not _has_words(one, finding, tenant) or is_held_back(
            indicator, stands, policies.of(code)
        )
        return _News(one, finding, code, indicator, stands, is_silent)

    def loudest(one: Known) -> _News:
        """Speak about the most urgent finding that is not held back."""
        findings = (open_findings(one.result) if one.result else ()) or (None,)
        news = [news_of(one, finding) for finding in findings]
        return next((item for item in news if not item.is_silent), news[0])

    return [loudest(one) for one in known]


def _has_words(known: Known, finding: Finding | None, tenant: Tenant) -> bool:
    """Tell whether this site wants a card of this kind at all."""
    if known.result is None:
        state = known.job.state if known.job else JobState.DONE
        if state is JobState.DONE:
            return False  # its result was erased
        return tenant.shows_running or state is not JobState.OPEN
    if finding is None:
        analysis = known.result.analysis
        is_mismatch = analysis.reason is not None and analysis.reason.code in MISMATCH_CODES
        is_wanted = tenant.shows_mismatch or not is_mismatch
        return is_wanted and analysis.status is AnalysisStatus.NOT_ANALYSED
    return finding.present is not False or tenant.shows_negative


def _notice(one: _News, news: Sequence[_News], call: HookCall, desk: HookDesk) -> Notice | None:
    job, result, study = one.known.job, one.known.result, one.known.study
    if result is None:
        return None if job is None else Notice(_job_card(job, study, call, desk), one.code, None)
    card = desk.writer.of_result(call, result, study, _circumstances(one, news, call))
    if one.is_positive:
        card = suggest_follow_up(card, result, call, desk.writer.words)
    return Notice(card, one.code, result.id)


def _job_card(job: Job, study: StudyReference | None, call: HookCall, desk: HookDesk) -> Card:
    wait = desk.line.wait_for(job) if job.state is JobState.OPEN else None
    return desk.writer.of_job(call, job, study or job.study, wait)


def _circumstances(one: _News, news: Sequence[_News], call: HookCall) -> Circumstances:
    job = one.known.job
    later = (n for n in news if n.finding and n.code == one.code and n.is_later_than(one))
    earlier = (n.known.result for n in news if one.replaces(n))
    is_unreviewed = one.is_positive and not one.standing.is_acknowledged
    is_analysing = job is not None and job.is_analysing
    return Circumstances(
        finding=one.finding,
        newer_images=is_analysing and not one.known.is_by_another_model,
        newer_model=is_analysing and one.known.is_by_another_model,
        newer=next((n.known.result for n in later), None),  # the news are in order of age
        earlier=tuple(result for result in earlier if result is not None)[:MAX_EARLIER],
        is_unreviewed_at_discharge=call.hook == Hook.ENCOUNTER_DISCHARGE and is_unreviewed,
    )
