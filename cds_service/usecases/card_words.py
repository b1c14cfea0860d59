"""The words of cards: how a study, a day and a verdict are said, and how a text is made safe.

No text of the EHR reaches a card: a study is named by its modality, body site and date.

Source: architecture "What a card says"; threat T17 (card injection).
"""

import re
import unicodedata
from datetime import datetime
from math import ceil

from cds_service.domain import refusals
from cds_service.domain.binding import MISMATCH_CODES
from cds_service.domain.card import SUMMARY_LIMIT, Indicator
from cds_service.domain.finding import Finding, Reason, Result, score_text
from cds_service.domain.imaging_terms import kind_of, region_of
from cds_service.domain.job import Job, JobStep, Wait
from cds_service.domain.study import StudyReference
from cds_service.domain.vocabulary import marked
from cds_service.usecases.card_language import ENGLISH, Words

# Everything that starts markup or a link in GitHub-flavoured markdown, bare links included.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~!&@]|(?<=:)/|(?<=www)\.", re.IGNORECASE)


def study_name(
    study: StudyReference | None, started: datetime | None, words: Words = ENGLISH
) -> str:
    """Name a study as people do: "Chest X-ray 2 Jan 2026"."""
    kind = kind_of(study) if study else None
    site = region_of(study) if study and kind else None
    name = words.gettext(kind or "imaging study")
    if site:
        name = words.gettext("%(region)s %(kind)s", region=words.gettext(site), kind=name)
    name = capitalised(name)
    if started is None:
        return name
    return words.gettext("%(study)s %(day)s", study=name, day=words.day(started))


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


def verdict(finding: Finding, words: Words) -> str:
    """Say what the model found, without a number: "signs of pneumonia"."""
    what = finding_name(finding.coding.display, words)
    if finding.present is None:
        return words.gettext("uncertain, the AI cannot tell")
    if finding.present:
        return words.gettext("signs of %(finding)s", finding=what)
    return words.gettext("AI found no signs of %(finding)s", finding=what)


def scored_verdict(finding: Finding, words: Words) -> str:
    """Say it with the score and the threshold where it is present."""
    if not finding.present:
        return verdict(finding, words)
    return words.gettext(
        "%(said)s (AI score %(score)s, threshold %(threshold)s)",
        said=verdict(finding, words),
        score=words.number(score_text(finding.probability)),
        threshold=words.number(f"{finding.threshold:.2f}"),
    )


def said_of(result: Result, finding: Finding, words: Words, *, is_scored: bool = True) -> str:
    """Say one finding of a result, and that there is more where the model looks for several."""
    findings = result.analysis.findings
    said = scored_verdict(finding, words) if is_scored else verdict(finding, words)
    if len(findings) == 1:
        return said
    if finding.present is False:
        return words.gettext(
            "AI found none of the %(count)s findings that it looks for", count=len(findings)
        )
    if finding.present is None:
        return words.gettext(
            "uncertain about %(finding)s, the AI cannot tell",
            finding=finding_name(finding.coding.display, words),
        )
    more = sum(one.present is True for one in findings) - 1
    if not more:
        return said
    return words.ngettext(
        "%(said)s and %(num)s more finding", "%(said)s and %(num)s more findings", more, said=said
    )


def dated_verdict(result: Result, words: Words) -> str:
    """Say what was found and when the images were taken, in markdown."""
    finding = worst(result)
    said = markdown(said_of(result, finding, words)) if finding else words.gettext("not analysed")
    if result.study_started is None:
        return said
    return words.gettext("%(day)s: %(said)s", day=words.day(result.study_started), said=said)


def advice_on(present: bool | None, words: Words) -> str:
    """Say what to do about a verdict; it never says that anything is healthy."""
    if present is None:
        return words.gettext("look at the images yourself; the AI is no help on this study.")
    if not present:
        return words.gettext("look at the images yourself. This rules nothing out.")
    return words.gettext("look at the images yourself before you act. A score is not a diagnosis.")


def not_analysed(name: str, reason: Reason | None, words: Words) -> tuple[str, str]:
    """Say of the study with this name why there is no number, and what to do instead."""
    if reason is not None and reason.code in MISMATCH_CODES:
        form = marked("%(study)s was not analysed: %(why)s. Check with radiology")
        advice = words.gettext(
            "do not use these images for this patient until radiology says whose they are."
        )
    else:
        form = marked("%(study)s was not analysed: %(why)s")
        advice = words.gettext(
            "read the images as you would without this service; there is no score."
        )
    summary = fitting(
        *(words.gettext(form, study=name, why=why) for why in reason_texts(reason, words))
    )
    return summary, advice


def reason_texts(reason: Reason | None, words: Words) -> tuple[str, ...]:
    """Return why a study was not analysed as clauses: in full, then the shorter general one."""
    if reason is None:
        return (words.gettext("no reason is known"),)
    given = (reason.code, reason.text, words.gettext)
    return refusals.said(*given), refusals.said_in_general(*given)


def running(name: str, job: Job, wait: Wait | None, words: Words) -> str:
    """Say that the study's result is to come, and when, as far as anybody can tell."""
    has_begun = job.step is not JobStep.QUEUED or (wait is not None and wait.is_held)
    if wait is not None and wait.seconds is not None:
        return words.gettext(
            "%(study)s: AI analysis running, about %(count)s s",
            study=name,
            count=max(5, 5 * ceil(wait.seconds / 5)),
        )
    if has_begun:
        return words.gettext("%(study)s: AI analysis running", study=name)
    return words.gettext("%(study)s: AI analysis queued", study=name)


def finding_name(display: str, words: Words) -> str:
    """Name a finding as it stands inside a sentence: "pneumonia"."""
    return words.gettext(in_a_sentence(display))


def finding_title(display: str, words: Words) -> str:
    """Name a finding where a line begins with it; without a translation as it came."""
    name = finding_name(display, words)
    return display if name == in_a_sentence(display) else capitalised(name)


def capitalised(text: str) -> str:
    """Raise the first letter."""
    return text[:1].upper() + text[1:]


def in_a_sentence(display: str) -> str:
    """Lower the first letter, unless the word is an abbreviation."""
    return display[:1].lower() + display[1:] if display[1:2].islower() else display


def labelled(label: str, text: str) -> str:
    """Return a line of the detail; the label ends with its colon."""
    return f"**{label}** {text}"


def markdown(text: str) -> str:
    """Make a text safe inside markdown: nothing in it is markup, a link or HTML."""
    return _MARKUP.sub(lambda match: "\\" + match[0], clean(text))


def clean(text: str) -> str:
    """Drop control, format (right-to-left override) and unassigned characters; join lines."""
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return " ".join("".join(kept).split())


def fitting(*wordings: str) -> str:
    """Return the first wording that CDS Hooks allows as a summary (ch2:83), or the last one cut."""
    texts = [clean(text) for text in wordings]
    return next((text for text in texts if len(text) < SUMMARY_LIMIT), _shortened(texts[-1]))


def _shortened(text: str) -> str:
    """Cut a text, but never inside a number."""
    if len(text) < SUMMARY_LIMIT:
        return text
    cut = text[: SUMMARY_LIMIT - 2]
    if cut[-1].isdigit() and re.match(r"[\d.,]*\d", text[len(cut) :]):
        cut = re.sub(r"\S+$", "", cut)
    return cut.rstrip() + "…"


def _urgency(finding: Finding) -> tuple[int, int]:
    return (0 if finding.present else 1 if finding.present is None else 2, -int(finding.critical))
