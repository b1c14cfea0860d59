"""The words of the study page: what a finding means, when it was, how far the job is.

Source: architecture "What a card says" (it never says that an image is normal).
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cds_service.domain import finding as findings
from cds_service.domain import refusals
from cds_service.domain.binding import MISMATCH_CODES
from cds_service.domain.finding import (
    Analysis,
    AnalysisStatus,
    Finding,
    InstanceReason,
    Reason,
    Result,
)
from cds_service.domain.job import Job, JobState, JobStep, Wait
from cds_service.domain.review import Review, Verdict
from cds_service.domain.vocabulary import marked
from smart_app.language import _, day_text, ngettext, number_text, time_text

STEPS = tuple(JobStep)
STEP_WORDS = {
    JobStep.QUEUED: marked("Queued"),
    JobStep.FETCHING: marked("Fetching"),
    JobStep.READING: marked("Reading"),
    JobStep.INFERRING: marked("Inferring"),
    JobStep.PUBLISHING: marked("Publishing"),
    JobStep.DONE: marked("Done"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One finding in words. `level` names the shape and colour that go with them."""

    level: str  # "critical", "warning", "uncertain", "clear", "excluded"
    severity: str  # "Found"
    headline: str  # what follows it: "signs of pneumonia"
    meaning: str


def name_of(finding: Finding) -> str:
    """Name the finding as it stands inside a sentence: "pneumonia"."""
    return _(finding.coding.display.lower())


def score_text(probability: float) -> str:
    """Return a score with the reader's decimal sign: "0.87", ">0,99"."""
    return number_text(findings.score_text(probability))


def reason_text(reason: Reason | InstanceReason) -> str:
    """Return why a study was not analysed, as a clause."""
    return refusals.said(reason.code, reason.text, _)


_YOU = {
    Verdict.AGREE: marked("You agreed on %(when)s."),
    Verdict.DISAGREE: marked("You disagreed on %(when)s."),
    Verdict.WRONG_PLACE: marked("You marked another place on %(when)s."),
}
_ANOTHER = {
    Verdict.AGREE: marked("Another clinician agreed on %(when)s."),
    Verdict.DISAGREE: marked("Another clinician disagreed on %(when)s."),
    Verdict.WRONG_PLACE: marked("Another clinician marked another place on %(when)s."),
}


def said_by_you(review: Review) -> str:
    """Say what the reader's own verdict is, when it was given, and why."""
    if review.reason is None:
        return _(_YOU[review.verdict], when=minute(review.at))
    return _(
        "You disagreed on %(when)s: %(reason)s.",
        when=minute(review.at),
        reason=_(review.reason.display.lower()),
    )


def said_by_another(review: Review) -> str:
    """Say what another clinician's verdict is, and when it was given."""
    return _(_ANOTHER[review.verdict], when=minute(review.at))


def statement_of(finding: Finding) -> Statement:
    """Say what the finding is and what its score means."""
    name = name_of(finding)
    score, threshold = score_text(finding.probability), score_text(finding.threshold)
    if finding.present is None:
        return Statement(
            "uncertain",
            _("Uncertain"),
            _("the AI cannot tell if there are signs of %(finding)s", finding=name),
            _(
                "The score of %(score)s lies too close to the threshold of %(threshold)s to "
                "decide. Read the study as usual: the AI is no help on it.",
                score=score,
                threshold=threshold,
            ),
        )
    if not finding.present:
        return Statement(
            "clear",
            _("Not found"),
            _("no signs of %(finding)s", finding=name),
            _(
                "The score of %(score)s is below the threshold of %(threshold)s. This does not "
                "rule out %(finding)s, and says nothing about anything else.",
                score=score,
                threshold=threshold,
                finding=name,
            ),
        )
    return Statement(
        "critical" if finding.critical else "warning",
        _("Critical") if finding.critical else _("Found"),
        _("signs of %(finding)s", finding=name),
        _(
            "The score of %(score)s is above the threshold of %(threshold)s: the image looks to "
            "the AI like images with %(finding)s. It can be wrong; look at the image yourself.",
            score=score,
            threshold=threshold,
            finding=name,
        ),
    )


def summary_of(result: Result) -> Statement:
    """Say a whole result in one short statement, for lists: the gravest finding counts."""
    if result.analysis.status is AnalysisStatus.NOT_ANALYSED or not result.analysis.findings:
        reason = result.analysis.reason
        text = reason_text(reason) if reason else _("no finding")
        level = refusal_of(reason).level if reason else "excluded"
        return Statement(level, _("Not analysed"), text, "")
    order = ("critical", "warning", "uncertain", "clear")
    statements = [statement_of(finding) for finding in result.analysis.findings]
    return min(statements, key=lambda statement: order.index(statement.level))


# What helps, by the code of the refusal; every other one is answered by reading as usual.
_MISSING = frozenset({"no-endpoint", "no-instances", "not-in-archive", "partly-in-archive"})
_DAMAGED = frozenset({"damaged-pixels", "not-dicom", "bad-identifier", "duplicate-uid"})


def refusal_of(reason: Reason) -> Statement:
    """Say why a study was not analysed, and what to do about it."""
    level = "warning" if reason.code in MISMATCH_CODES else "excluded"
    return Statement(level, _("Not analysed"), sentence(reason_text(reason)), _remedy(reason.code))


def _remedy(code: str) -> str:
    if code in MISMATCH_CODES:
        return _(
            "Check with radiology that these images belong to this patient. Do not use them for "
            "this patient until that is clear."
        )
    as_usual = _("Read the study as usual. There is no AI score for it.")
    if code in _MISSING:
        return f"{_('Ask radiology whether all images have arrived.')} {as_usual}"
    if code in _DAMAGED:
        return f"{_('Ask radiology to check the stored images.')} {as_usual}"
    if code.endswith("-unknown"):
        return f"{_('Radiology can add what the images do not state.')} {as_usual}"
    return as_usual


_FAILURES = {
    "ArchiveFailed": marked("The image archive did not answer."),
    "ArchiveRefused": marked("The image archive does not let Sightline read this study."),
    "EndpointNotAllowed": marked("The study's image archive is not one that Sightline may call."),
    "WorkerCrashed": marked("The analysis broke off twice, so it is not tried again by itself."),
    "InferenceFailed": marked("The AI model could not be run."),
    "OutputOutOfRange": marked("The AI model gave no usable answer."),
}


def failure_of(job: Job) -> str:
    """Say why a job was given up."""
    return _(_FAILURES.get(job.error or "", marked("A technical problem stopped the analysis.")))


def unused_of(analysis: Analysis) -> list[str]:
    """Say of the images that were not used how many there are and why: "2 images: its ..."."""
    counts = Counter(reason_text(reason) for reason in analysis.unused)
    return [
        ngettext("%(num)s image: %(why)s", "%(num)s images: %(why)s", count, why=text)
        for text, count in counts.items()
    ]


def sentence(clause: str) -> str:
    """Return a clause, such as the text of a StudyUnusable, as a sentence of its own."""
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}."


def day(moment: datetime | None) -> str:
    """Return "2 Jan 2026"."""
    return day_text(moment) if moment else _("date not stated")


def minute(moment: datetime, like: datetime | None = None) -> str:
    """Return "2 Jan 2026, 10:05 UTC+1", in the offset in which the EHR states `like`; else UTC."""
    zone = like.tzinfo if like and like.tzinfo else UTC
    local = moment.astimezone(zone)
    return f"{day(local)}, {time_text(local)} {_offset(local)}"


def span(earlier: datetime, later: datetime) -> str:
    """Return how long it took in one unit: "35 s", "4 min", "3 h", "2 days"; "" when reversed."""
    seconds = (later - earlier).total_seconds()
    if seconds < 0:
        return ""
    if seconds < 100:
        return _("%(count)s s", count=round(seconds))
    if seconds < 6000:
        return _("%(count)s min", count=round(seconds / 60))
    if seconds < 48 * 3600:
        return _("%(count)s h", count=round(seconds / 3600))
    days = round(seconds / 86_400)
    return ngettext("%(num)s day", "%(num)s days", days)


def _offset(local: datetime) -> str:
    minutes = round((local.utcoffset() or timedelta()).total_seconds() / 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02d}" if rest else "")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an open job is, in words; no time is named that nobody can know."""

    heading: str  # "Analysis running"
    wait: str  # "about 20 s"; "" when nobody can tell
    said: str  # for a screen reader: "Step 3 of 5: Reading"


def progress_of(job: Job, wait: Wait) -> Progress:
    """Say where the job is and how long it may take."""
    step = _(
        "Step %(number)s of %(all)s: %(name)s",
        number=steps_done(job) + 1,
        all=len(STEPS) - 1,
        name=step_word(job.step),
    )
    about = _("about %(count)s s", count=wait.seconds) if wait.seconds else ""
    if wait.is_held or job.step is not JobStep.QUEUED:
        return Progress(_("Analysis running"), about, step)
    place = _("%(count)s before this one", count=wait.before) if wait.before else _("next in line")
    then = about or _("waiting to be started")
    return Progress(_("Analysis queued"), f"{place}, {then}", step)


def step_word(step: JobStep) -> str:
    """Name a step of the analysis."""
    return _(STEP_WORDS[step])


def steps_done(job: Job) -> int:
    """Return how many of the steps lie behind this job."""
    return len(STEPS) - 1 if job.state is JobState.DONE else STEPS.index(job.step)
