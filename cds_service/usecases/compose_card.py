"""Compose cards: what the clinician reads about one study, in our own words only.

The detail never says that anything is healthy, because the model looks for one thing. A card's
uuid names the result, the finding, the hook and the reader, so feedback on it can be understood.

Source: DESIGN "What a card says"; CDS Hooks 2.0 "Card Attributes", "Extensions"; threat T17.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any
from uuid import uuid5

from cds_service.domain.card import Card, Indicator, Link, Source
from cds_service.domain.finding import (
    SIGHTLINE_NAMESPACE,
    AnalysisStatus,
    Coding,
    Finding,
    ModelIdentity,
    Result,
    score_text,
)
from cds_service.domain.hook import HookCall
from cds_service.domain.job import Job, JobState, Wait
from cds_service.domain.study import StudyReference
from cds_service.usecases import card_extension
from cds_service.usecases.card_words import (
    advice_on,
    clean,
    counted,
    dated_verdict,
    day,
    in_a_sentence,
    indicator_of,
    markdown,
    not_analysed,
    running,
    said_of,
    shortened,
    study_name,
    worst,
)

# CDS Hooks 3.0 build, ValueSet non-adherence-reason-clinical; displays as the code system has them.
_REASONS_SYSTEM = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
OVERRIDE_REASONS = tuple(
    Coding(_REASONS_SYSTEM, code, display)
    for code, display in (
        ("cds-not-applicable", "PC CDS does not apply to patient"),
        (
            "recipient-disagrees-evidence",
            "Recipient disagrees with recommendation because of issues with the evidence",
        ),
        ("action-completed", "Recommended action was already completed"),
        ("cds-suboptimal-context", "PC CDS delivered in suboptimal context"),
    )
)


MAX_SCORES = 4  # findings that are all told with their scores


@dataclass(frozen=True, slots=True)
class CardModel:
    """What cards say about the model, from its card."""

    identity: ModelIdentity
    findings: tuple[Coding, ...]  # what it looks for; the first is the topic of every card
    scope: str  # "frontal chest X-rays of children aged 1-5"
    does_not_look_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What besides the result itself a card has to say."""

    finding: Finding | None = None  # that it speaks about; None: the most urgent one
    newer_images: bool = False  # are being analysed
    newer: Result | None = None  # of a later study, about the same finding
    earlier: tuple[Result, ...] = ()  # whose cards give way to this one
    is_unreviewed_at_discharge: bool = False


PLAIN = Circumstances()


@dataclass(frozen=True, slots=True)
class CardWriter:
    """Writes the cards of every service; `model` speaks where no result or job names another."""

    model: CardModel
    public_url: str
    pseudonym: Callable[[str, str], str]  # of a user, for one tenant
    models: Callable[[str], CardModel | None] = lambda _model_id: None  # that are installed

    def reader(self, call: HookCall) -> str:
        """Return the keyed hash that stands for this hook's user; "" when it names none."""
        return self.pseudonym(call.tenant_id, call.user_id) if call.user_id else ""

    def finding_code(self, result: Result | None) -> str:
        """Return what a card about this result, or about none yet, is about."""
        finding = worst(result) if result else None
        if result is None or finding is None:
            return self.model_of(result.analysis.model if result else None).findings[0].code
        return finding.coding.code

    def model_of(self, identity: ModelIdentity | None) -> CardModel:
        """Return what cards say about the model of a result; one that is gone says little."""
        if identity is None or identity.id == self.model.identity.id:
            return self.model
        return self.models(identity.id) or replace(
            self.model, identity=identity, scope="", does_not_look_for=()
        )

    def of_result(
        self,
        call: HookCall,
        result: Result,
        study: StudyReference | None,
        about: Circumstances = PLAIN,
    ) -> Card:
        """Say what was found or why nothing was."""
        name = study_name(study, result.study_started)
        finding = about.finding or worst(result)
        if finding is None:
            sentence, advice = not_analysed(result.analysis.reason)
        else:
            sentence, advice = f": {said_of(result, finding)}", advice_on(finding.present)
        if about.is_unreviewed_at_discharge:
            name = f"Not yet reviewed: {name}"
            advice = "review it before the patient leaves, or name who will follow it up."
        is_analysed = result.analysis.status is AnalysisStatus.ANALYSED
        label = "Open images and AI result" if is_analysed else "Open details"
        paragraphs = [
            *self._facts(result),
            *(f"**Earlier:** {dated_verdict(one)}" for one in about.earlier),
            f"**Newer study:** {dated_verdict(about.newer)}" if about.newer else "",
            f"**Next:** {advice}",
            "New images have arrived and are being analysed." if about.newer_images else "",
        ]
        return self._card(
            call,
            self.model_of(result.analysis.model),
            f"result:{result.id}",
            name + sentence,
            indicator_of(finding),
            paragraphs,
            link=self._link(label, result.study_uid, job_id=None, result_id=result.id),
            extension=card_extension.of_result(result, study),
            finding_code=finding.coding.code if finding else None,
        )

    def of_job(self, call: HookCall, job: Job, study: StudyReference, wait: Wait | None) -> Card:
        """Say that the analysis is queued or running, or that it could not be done."""
        model = self.models(job.model_id) or self.model
        if job.is_lost:
            key, label = f"failed:{job.id}", "Open details"
            sentence = " was not analysed: technical problem"
            again = " It is tried again later." if job.state is JobState.FAILED else ""
            paragraphs = [
                f"The analysis stopped because of a technical problem.{again}",
                "**Next:** read the images as you would without this service.",
            ]
        else:
            key, label = f"running:{job.id}", "Follow the analysis"
            sentence = running(job, wait)
            paragraphs = [
                f"**Looks for:** {_looks_for(model)}",
                "**Next:** nothing. Open it to follow the progress, or open the chart again later.",
            ]
        return self._card(
            call,
            model,
            key,
            study_name(study, study.started) + sentence,
            Indicator.INFO,
            paragraphs,
            link=self._link(label, study.study_uid, job_id=job.id, result_id=job.result_id),
            extension=card_extension.of_analysis(model.identity, study.started, study),
        )

    def of_silence(self, call: HookCall) -> Card:
        """Say that the patient's studies could not be read just now."""
        paragraphs = [
            "The record did not answer in time, so no AI result is shown, found or not.",
            "**Next:** nothing. Open the chart again later.",
        ]
        summary = "Imaging AI could not read this patient's studies just now"
        key = f"silence:{call.tenant_id}:{call.patient_id}"
        return self._card(call, self.model, key, summary, Indicator.INFO, paragraphs)

    def of_order(self, call: HookCall, result: Result, study: StudyReference | None) -> Card:
        """Say that a study like the one being ordered has an AI read already."""
        finding = worst(result)
        started = f" of {day(result.study_started)}" if result.study_started else ""
        said = said_of(result, finding, is_scored=False) if finding else ""
        summary = f"A comparable study{started} already has an AI read: {said}"
        paragraphs = [
            f"**Study:** {markdown(study_name(study, result.study_started))}",
            *self._facts(result),
            "**Next:** look at those images first; order again if the question is another one.",
        ]
        label = "Open the earlier study"
        return self._card(
            call,
            self.model_of(result.analysis.model),
            f"order:{result.id}",
            summary,
            Indicator.INFO,
            paragraphs,
            link=self._link(label, result.study_uid, job_id=None, result_id=result.id),
            extension=card_extension.of_result(result, study),
            finding_code=self.finding_code(result),
        )

    def of_limit(self, call: HookCall, held_back: int) -> Card:
        """Say how much the site's limit holds back; the app has all of it."""
        paragraphs = [
            "This site limits how many AI notices are shown per 100 charts. None of those that are "
            "held back is critical.",
            "**Next:** nothing. The AI results are in the app.",
        ]
        key = f"limit:{call.tenant_id}:{call.patient_id}"
        summary = f"{counted(held_back, 'notice', 'notices')} held back by this site's limit"
        card = self._card(call, self.model, key, summary, Indicator.INFO, paragraphs)
        return replace(card, extension=card_extension.of_held_back(held_back))

    def _facts(self, result: Result) -> list[str]:
        model, known = result.analysis.model, self.model_of(result.analysis.model)
        not_looked_for = ", ".join(markdown(one) for one in known.does_not_look_for)
        moment = result.computed_at.astimezone(UTC)
        return [
            *_scores(result.analysis.findings),
            f"**Looks for:** {_looks_for(known)}",
            f"**Does not look for:** {not_looked_for}" if not_looked_for else "",
            f"**Model:** {markdown(model.title or model.id)} ({markdown(model.id)} "
            f"{markdown(model.version)}), computed {day(moment)} {moment:%H:%M} UTC",
        ]

    def _link(
        self, label: str, study_uid: str, *, job_id: str | None, result_id: str | None
    ) -> Link:
        context = {"study": study_uid, "job": job_id, "result": result_id}
        return Link(
            label=label,
            url=f"{self.public_url}/app/launch",
            app_context=json.dumps(context, separators=(",", ":")),
        )

    def _card(
        self,
        call: HookCall,
        speaking: CardModel,
        about: str,
        summary: str,
        indicator: Indicator,
        paragraphs: list[str],
        *,
        link: Link | None = None,
        extension: dict[str, Any] | None = None,
        finding_code: str | None = None,
    ) -> Card:
        model = speaking.identity
        code = finding_code or speaking.findings[0].code
        name = "|".join(("card", about, code, call.service_id, call.hook, self.reader(call)))
        label = markdown(model.label)
        return Card(
            uuid=str(uuid5(SIGHTLINE_NAMESPACE, name)),
            summary=shortened(summary),
            indicator=indicator,
            source=Source(
                label=clean(model.title or model.id),
                url=f"{self.public_url}/app/models/{model.id}",
                topic=speaking.findings[0],
            ),
            detail_markdown="\n\n".join([p for p in paragraphs if p] + ([label] if label else [])),
            links=() if link is None else (link,),
            override_reasons=OVERRIDE_REASONS,
            extension=extension or {},
        )


def _scores(findings: Sequence[Finding]) -> list[str]:
    """Say the scores; of many findings, those that are absent by name only."""
    absent = [one for one in findings if one.present is False]
    is_short = len(findings) <= MAX_SCORES
    lines = [
        f"**{markdown(one.coding.display)}:** score {markdown(score_text(one.probability))}, "
        f"threshold {one.threshold:.2f}"
        for one in findings
        if is_short or one.present is not False
    ]
    if absent and not is_short:
        names = ", ".join(markdown(in_a_sentence(one.coding.display)) for one in absent)
        lines.append(f"**Below their thresholds:** {names}")
    return lines


def _looks_for(model: CardModel) -> str:
    what = ", ".join(markdown(in_a_sentence(one.display)) for one in model.findings)
    return f"{what}, on {markdown(model.scope)}" if model.scope else what


def with_more(card: Card, rest: Sequence[Card]) -> Card:
    """Add a way to the studies that no card is left for; each of `rest` is one."""
    what = f"And {counted(len(rest), 'more study', 'more studies')}"
    ways = [replace(link, label=what) for one in rest for link in one.links][:1]
    detail = f"{card.detail_markdown}\n\n**{what}** in the app."
    return replace(card, detail_markdown=detail, links=(*card.links, *ways))
