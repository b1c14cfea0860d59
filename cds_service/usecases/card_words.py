"""The words of cards: how a study, a day and a verdict are said, and how a text is made safe.

No text of the EHR reaches a card: a study is named by its modality, body site and date.

Source: DESIGN "What a card says"; threat T17 (card injection).
"""

import re
import unicodedata
from datetime import datetime
from math import ceil

from cds_service.domain.card import SUMMARY_LIMIT, Indicator
from cds_service.domain.finding import Finding, Reason, Result, score_text
from cds_service.domain.guards import MISMATCH_CODES
from cds_service.domain.imaging_terms import kind_of, region_of
from cds_service.domain.job import Job, JobStep, Wait
from cds_service.domain.study import StudyReference

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"  # of no locale
# Everything that starts markup or a link in GitHub-flavoured markdown, bare links included.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~!&@]|(?<=:)/|(?<=www)\.", re.IGNORECASE)


def study_name(study: StudyReference | None, started: datetime | None) -> str:
    """Name a study as people do: "Chest X-ray 2 Jan 2026"."""
    kind = kind_of(study) if study else None
    site = region_of(study) if study and kind else None
    name = " ".join(word for word in (site, kind or "imaging study") if word)
    return f"{name[0].upper()}{name[1:]}" + (f" {day(started)}" if started else "")


def day(moment: datetime) -> str:
    """Say a day: "2 Jan 2026", in the offset that the time came with."""
    month = _MONTHS[3 * moment.month - 3 : 3 * moment.month]
    return f"{moment.day} {month} {moment.year}"


def worst(result: Result) -> Finding | None:
    """Return the finding that a card speaks about first; None when nothing was analysed."""
    return min(result.analysis.findings, key=_urgency, default=None)


def open_findings(result: Result) -> tuple[Finding, ...]:
    """Return what a card may speak about, the most urgent first.

    These are the findings that are not absent, or one absent one: a card never says that nothing
    was found while something was.
    """
    by_urgency = sorted(result.analysis.findings, key=_urgency)
    return tuple(one for one in by_urgency if one.present is not False) or tuple(by_urgency[:1])


def indicator_of(finding: Finding | None) -> Indicator:
    """Return how loud a finding is: only a present one is more than information."""
    if finding is None or not finding.present:
        return Indicator.INFO
    return Indicator.CRITICAL if finding.critical else Indicator.WARNING


def verdict(finding: Finding) -> str:
    """Say what the model found, without a number: "signs of pneumonia"."""
    what = in_a_sentence(finding.coding.display)
    if finding.present is None:
        return "uncertain, the AI cannot tell"
    return f"signs of {what}" if finding.present else f"AI found no signs of {what}"


def scored_verdict(finding: Finding) -> str:
    """Say it with the score and the threshold where it is present."""
    if not finding.present:
        return verdict(finding)
    score = f"(AI score {score_text(finding.probability)}, threshold {finding.threshold:.2f})"
    return f"{verdict(finding)} {score}"


def said_of(result: Result, finding: Finding, *, is_scored: bool = True) -> str:
    """Say one finding of a result, and that there is more where the model looks for several."""
    findings = result.analysis.findings
    if len(findings) == 1:
        return scored_verdict(finding) if is_scored else verdict(finding)
    if finding.present is False:
        return f"AI found none of the {len(findings)} findings that it looks for"
    if finding.present is None:
        return f"uncertain about {in_a_sentence(finding.coding.display)}, the AI cannot tell"
    more = sum(one.present is True for one in findings) - 1
    said = scored_verdict(finding) if is_scored else verdict(finding)
    return f"{said} and {counted(more, 'more finding', 'more findings')}" if more else said


def dated_verdict(result: Result) -> str:
    """Say what was found and when the images were taken, in markdown."""
    finding = worst(result)
    said = markdown(said_of(result, finding)) if finding else "not analysed"
    return f"{day(result.study_started)}: {said}" if result.study_started else said


def advice_on(present: bool | None) -> str:
    """Say what to do about a verdict; it never says that anything is healthy."""
    if present is None:
        return "look at the images yourself; the AI is no help on this study."
    if not present:
        return "look at the images yourself. This rules nothing out."
    return "look at the images yourself before you act. A score is not a diagnosis."


def not_analysed(reason: Reason | None) -> tuple[str, str]:
    """Say why there is no number, and what to do instead."""
    text = reason.text if reason else "no reason is known"
    if reason is not None and reason.code in MISMATCH_CODES:
        advice = "do not use these images for this patient until radiology says whose they are."
        return f" was not analysed: {text}. Check with radiology", advice
    advice = "read the images as you would without this service; there is no score."
    return f" was not analysed: {text}", advice


def running(job: Job, wait: Wait | None) -> str:
    """Say that a result is to come, and when, as far as anybody can tell."""
    has_begun = job.step is not JobStep.QUEUED or (wait is not None and wait.is_held)
    if wait is None or wait.seconds is None:
        return f": AI analysis {'running' if has_begun else 'queued'}"
    return f": AI analysis running, about {max(5, 5 * ceil(wait.seconds / 5))} s"


def in_a_sentence(display: str) -> str:
    """Lower the first letter, unless the word is an abbreviation."""
    return display[:1].lower() + display[1:] if display[1:2].islower() else display


def markdown(text: str) -> str:
    """Make a text safe inside markdown: nothing in it is markup, a link or HTML."""
    return _MARKUP.sub(lambda match: "\\" + match[0], clean(text))


def clean(text: str) -> str:
    """Drop control, format (right-to-left override) and unassigned characters; join lines."""
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return " ".join("".join(kept).split())


def shortened(summary: str) -> str:
    """Cut a summary to what CDS Hooks allows (ch2:83)."""
    text = clean(summary)
    return text if len(text) < SUMMARY_LIMIT else text[: SUMMARY_LIMIT - 2].rstrip() + "…"


def counted(number: int, thing: str, things: str) -> str:
    """Say how many: "1 notice", "2 notices"."""
    return f"{number} {thing if number == 1 else things}"


def _urgency(finding: Finding) -> tuple[int, int]:
    return (0 if finding.present else 1 if finding.present is None else 2, -int(finding.critical))
