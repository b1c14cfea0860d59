"""The words of the study page: what a finding means, when it was, how far the job is.

Source: DESIGN "What a card says" (it never says that an image is normal).
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cds_service.domain.finding import Analysis, AnalysisStatus, Finding, Reason, Result, score_text
from cds_service.domain.guards import MISMATCH_CODES
from cds_service.domain.job import Job, JobState, JobStep, Wait

STEPS = tuple(JobStep)
STEP_WORDS = {
    JobStep.QUEUED: "Queued",
    JobStep.FETCHING: "Fetching",
    JobStep.READING: "Reading",
    JobStep.INFERRING: "Inferring",
    JobStep.PUBLISHING: "Publishing",
    JobStep.DONE: "Done",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One finding in words. `level` names the shape and colour that go with them."""

    level: str  # "critical", "warning", "uncertain", "clear", "excluded"
    severity: str  # "Found"
    headline: str  # what follows it: "signs of pneumonia"
    meaning: str


def statement_of(finding: Finding) -> Statement:
    """Say what the finding is and what its score means."""
    name = finding.coding.display.lower()
    score, threshold = score_text(finding.probability), score_text(finding.threshold)
    if finding.present is None:
        return Statement(
            "uncertain",
            "Uncertain",
            f"the AI cannot tell if there are signs of {name}",
            f"The score of {score} lies too close to the threshold of {threshold} to decide. "
            "Read the study as usual: the AI is no help on it.",
        )
    if not finding.present:
        return Statement(
            "clear",
            "Not found",
            f"no signs of {name}",
            f"The score of {score} is below the threshold of {threshold}. "
            f"This does not rule out {name}, and says nothing about anything else.",
        )
    return Statement(
        "critical" if finding.critical else "warning",
        "Critical" if finding.critical else "Found",
        f"signs of {name}",
        f"The score of {score} is above the threshold of {threshold}: the image looks to the AI "
        f"like images with {name}. It can be wrong; look at the image yourself.",
    )


def summary_of(result: Result) -> Statement:
    """Say a whole result in one short statement, for lists: the gravest finding counts."""
    if result.analysis.status is AnalysisStatus.NOT_ANALYSED or not result.analysis.findings:
        reason = result.analysis.reason
        return Statement("excluded", "Not analysed", reason.text if reason else "no finding", "")
    order = ("critical", "warning", "uncertain", "clear")
    statements = [statement_of(finding) for finding in result.analysis.findings]
    return min(statements, key=lambda statement: order.index(statement.level))


# What helps, by the code of the refusal; every other one is answered by reading as usual.
_MISSING = frozenset({"no-endpoint", "no-instances", "not-in-archive", "partly-in-archive"})
_DAMAGED = frozenset({"damaged-pixels", "not-dicom", "bad-identifier", "duplicate-uid"})


def refusal_of(reason: Reason) -> Statement:
    """Say why a study was not analysed, and what to do about it."""
    level = "warning" if reason.code in MISMATCH_CODES else "excluded"
    return Statement(level, "Not analysed", sentence(reason.text), _remedy(reason.code))


def _remedy(code: str) -> str:
    if code in MISMATCH_CODES:
        return (
            "Check with radiology that these images belong to this patient. Do not use them for "
            "this patient until that is clear."
        )
    as_usual = "Read the study as usual. There is no AI score for it."
    if code in _MISSING:
        return f"Ask radiology whether all images have arrived. {as_usual}"
    if code in _DAMAGED:
        return f"Ask radiology to check the stored images. {as_usual}"
    if code.endswith("-unknown"):
        return f"Radiology can add what the images do not state. {as_usual}"
    return as_usual


_FAILURES = {
    "ArchiveFailed": "The image archive did not answer.",
    "ArchiveRefused": "The image archive does not let Sightline read this study.",
    "EndpointNotAllowed": "The study's image archive is not one that Sightline may call.",
    "WorkerCrashed": "The analysis broke off twice, so it is not tried again by itself.",
    "InferenceFailed": "The AI model could not be run.",
    "OutputOutOfRange": "The AI model gave no usable answer.",
}


def failure_of(job: Job) -> str:
    """Say why a job was given up."""
    return _FAILURES.get(job.error or "", "A technical problem stopped the analysis.")


def unused_of(analysis: Analysis) -> list[str]:
    """Say of the images that were not used how many there are and why: "2 images: its ..."."""
    counts = Counter(reason.text for reason in analysis.unused)
    return [
        f"{count} {'image' if count == 1 else 'images'}: {text}" for text, count in counts.items()
    ]


def sentence(clause: str) -> str:
    """Return a clause, such as the text of a StudyUnusable, as a sentence of its own."""
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}."


def day(moment: datetime | None) -> str:
    """Return "2 Jan 2026"."""
    return f"{moment.day} {moment:%b %Y}" if moment else "date not stated"


def minute(moment: datetime, like: datetime | None = None) -> str:
    """Return "2 Jan 2026, 10:05 UTC+1", in the offset in which the EHR states `like`; else UTC."""
    zone = like.tzinfo if like and like.tzinfo else UTC
    local = moment.astimezone(zone)
    return f"{day(local)}, {local:%H:%M} {_offset(local)}"


def span(earlier: datetime, later: datetime) -> str:
    """Return how long it took in one unit: "35 s", "4 min", "3 h", "2 days"; "" when reversed."""
    seconds = (later - earlier).total_seconds()
    if seconds < 0:
        return ""
    for unit, length, limit in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < limit * length:
            return f"{round(seconds / length)} {unit}"
    return f"{round(seconds / 86_400)} days"


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
    step = f"Step {steps_done(job) + 1} of {len(STEPS) - 1}: {STEP_WORDS[job.step]}"
    if wait.is_held or job.step is not JobStep.QUEUED:
        return Progress("Analysis running", f"about {wait.seconds} s" if wait.seconds else "", step)
    place = f"{wait.before} before this one" if wait.before else "next in line"
    then = f"about {wait.seconds} s" if wait.seconds else "waiting to be started"
    return Progress("Analysis queued", f"{place}, {then}", step)


def steps_done(job: Job) -> int:
    """Return how many of the steps lie behind this job."""
    return len(STEPS) - 1 if job.state is JobState.DONE else STEPS.index(job.step)
