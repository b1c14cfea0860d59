"""Compose cards: what the clinician reads about one study, in our own words only.

No text of the EHR reaches a card: the study is named by its modality, body site and date. The
detail never says that anything is healthy, because the model looks for one thing.

Source: DESIGN "What a card says"; CDS Hooks 2.0 "Card Attributes"; threat T17 (card injection).
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from uuid import uuid5

from cds_service.domain.card import SUMMARY_LIMIT, Card, Indicator, Link, Source
from cds_service.domain.finding import (
    SIGHTLINE_NAMESPACE,
    AnalysisStatus,
    Coding,
    Finding,
    ModelIdentity,
    Reason,
    Result,
    score_text,
)
from cds_service.domain.guards import MISMATCH_CODES
from cds_service.domain.job import Job, JobState
from cds_service.domain.study import StudyReference

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

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"  # of no locale
_MODALITIES = {
    "CR": "X-ray",
    "DX": "X-ray",
    "CT": "CT",
    "MR": "MRI",
    "US": "ultrasound",
    "MG": "mammogram",
    "PT": "PET",
    "NM": "scintigraphy",
    "XA": "angiography",
    "RF": "fluoroscopy",
}
_BODY_SITES = {  # SNOMED CT
    "51185008": "chest",
    "816094009": "chest",
    "69536005": "head",
    "818981001": "abdomen",
    "818983003": "abdomen",
    "12921003": "pelvis",
    "45048000": "neck",
}
# Everything that starts markup or a link in GitHub-flavoured markdown, bare links included.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~!&@]|(?<=:)/|(?<=www)\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CardModel:
    """What cards say about the model, from its card."""

    identity: ModelIdentity
    finding: Coding  # what it looks for; also the topic of every card
    modalities: frozenset[str]  # DICOM, that it reads
    scope: str  # "frontal chest X-rays of children aged 1-5"
    does_not_look_for: tuple[str, ...]


def device_id(model: ModelIdentity) -> str:
    """Return the FHIR id of the model's Device on our own endpoint."""
    return re.sub(r"[^A-Za-z0-9\-.]", "-", model.id)[:64]


def study_name(study: StudyReference | None, started: datetime | None) -> str:
    """Name a study as people do: "Chest X-ray 2 Jan 2026"."""
    kinds = [_MODALITIES[m] for m in study.modalities if m in _MODALITIES] if study else []
    sites = [_BODY_SITES.get(s) for one in (study.series if study else ()) for s in one.body_sites]
    site = next((site for site in sites if site), "") if kinds else ""
    words = [site, kinds[0] if kinds else "imaging study"]
    name = " ".join(word for word in words if word)
    return f"{name[0].upper()}{name[1:]}" + (f" {_day(started)}" if started else "")


@dataclass(frozen=True, slots=True)
class CardWriter:
    """Writes the cards of one service for one model."""

    model: CardModel
    public_url: str
    service_id: str

    def of_result(
        self, result: Result, study: StudyReference | None, user: str | None, *, superseded: bool
    ) -> Card:
        """Say what was found or why nothing was; `superseded`: newer images are being analysed."""
        name = study_name(study, result.study_started)
        indicator, sentence, advice = self._verdict(result)
        is_analysed = result.analysis.status is AnalysisStatus.ANALYSED
        label = "Open images and AI result" if is_analysed else "Open details"
        paragraphs = [
            *self._facts(result),
            f"**Next:** {advice}",
            "New images have arrived and are being analysed." if superseded else "",
        ]
        link = self._link(label, result.study_uid, job_id=None, result_id=result.id)
        return self._card(f"result:{result.id}", user, name + sentence, indicator, paragraphs, link)

    def of_job(self, job: Job, study: StudyReference, seconds: int, user: str | None) -> Card:
        """Say that the analysis is running, or that it could not be done."""
        if job.state in {JobState.FAILED, JobState.QUARANTINED}:
            key, label = f"failed:{job.id}", "Open details"
            sentence = " was not analysed: technical problem"
            again = " It is tried again later." if job.state is JobState.FAILED else ""
            paragraphs = [
                f"The analysis stopped because of a technical problem.{again}",
                "**Next:** read the images as you would without this service.",
            ]
        else:
            key, label = f"running:{job.id}", "Follow the analysis"
            sentence = f": AI analysis running, about {max(5, 5 * ceil(seconds / 5))} s"
            paragraphs = [
                f"**Looks for:** {self._looks_for()}",
                "**Next:** nothing. Open it to follow the progress, or open the chart again later.",
            ]
        summary = study_name(study, study.started) + sentence
        link = self._link(label, study.study_uid, job_id=job.id, result_id=job.result_id)
        return self._card(key, user, summary, Indicator.INFO, paragraphs, link)

    def of_silence(self, tenant_id: str, patient_id: str, user: str | None) -> Card:
        """Say that the patient's studies could not be read just now."""
        paragraphs = [
            "The record did not answer in time, so no AI result is shown, found or not.",
            "**Next:** nothing. Open the chart again later.",
        ]
        summary = "Imaging AI could not read this patient's studies just now"
        key = f"silence:{tenant_id}:{patient_id}"
        return self._card(key, user, summary, Indicator.INFO, paragraphs, None)

    def _verdict(self, result: Result) -> tuple[Indicator, str, str]:
        analysis = result.analysis
        if analysis.status is AnalysisStatus.NOT_ANALYSED:
            return _not_analysed(analysis.reason)
        worst = min(analysis.findings, key=_urgency)
        what = _in_a_sentence(worst.coding.display)
        if worst.present is None:
            advice = "look at the images yourself; the AI is no help on this study."
            return Indicator.INFO, ": uncertain, the AI cannot tell", advice
        if not worst.present:
            advice = "look at the images yourself. This rules nothing out."
            return Indicator.INFO, f": AI found no signs of {what}", advice
        score = f"(AI score {score_text(worst.probability)}, threshold {worst.threshold:.2f})"
        advice = "look at the images yourself before you act. A score is not a diagnosis."
        indicator = Indicator.CRITICAL if worst.critical else Indicator.WARNING
        return indicator, f": signs of {what} {score}", advice

    def _facts(self, result: Result) -> list[str]:
        model = result.analysis.model
        scores = [
            f"**{markdown(one.coding.display)}:** score {markdown(score_text(one.probability))}, "
            f"threshold {one.threshold:.2f}"
            for one in result.analysis.findings
        ]
        not_looked_for = ", ".join(markdown(one) for one in self.model.does_not_look_for)
        moment = result.computed_at.astimezone(UTC)
        return [
            *scores,
            f"**Looks for:** {self._looks_for()}",
            f"**Does not look for:** {not_looked_for}" if not_looked_for else "",
            f"**Model:** {markdown(model.title or model.id)} ({markdown(model.id)} "
            f"{markdown(model.version)}), computed {_day(moment)} {moment:%H:%M} UTC",
        ]

    def _looks_for(self) -> str:
        what = markdown(_in_a_sentence(self.model.finding.display))
        return f"{what}, on {markdown(self.model.scope)}"

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
        about: str,
        user: str | None,
        summary: str,
        indicator: Indicator,
        paragraphs: list[str],
        link: Link | None,
    ) -> Card:
        model = self.model.identity
        name = "|".join(("card", self.service_id, about, user or ""))
        label = markdown(model.label)
        return Card(
            uuid=str(uuid5(SIGHTLINE_NAMESPACE, name)),
            summary=_shortened(summary),
            indicator=indicator,
            source=Source(
                label=_clean(model.title or model.id),
                url=f"{self.public_url}/fhir/Device/{device_id(model)}",
                topic=self.model.finding,
            ),
            detail_markdown="\n\n".join([p for p in paragraphs if p] + ([label] if label else [])),
            links=() if link is None else (link,),
            override_reasons=OVERRIDE_REASONS,
        )


def markdown(text: str) -> str:
    """Make a text safe inside markdown: nothing in it is markup, a link or HTML."""
    return _MARKUP.sub(lambda match: "\\" + match[0], _clean(text))


def _not_analysed(reason: Reason | None) -> tuple[Indicator, str, str]:
    text = reason.text if reason else "no reason is known"
    if reason is not None and reason.code in MISMATCH_CODES:
        advice = "do not use these images for this patient until radiology says whose they are."
        return Indicator.INFO, f" was not analysed: {text}. Check with radiology", advice
    advice = "read the images as you would without this service; there is no score."
    return Indicator.INFO, f" was not analysed: {text}", advice


def _urgency(finding: Finding) -> tuple[int, int]:
    return (0 if finding.present else 1 if finding.present is None else 2, -int(finding.critical))


def _in_a_sentence(display: str) -> str:
    """Lower the first letter, unless the word is an abbreviation."""
    return display[:1].lower() + display[1:] if display[1:2].islower() else display


def _day(moment: datetime) -> str:
    month = _MONTHS[3 * moment.month - 3 : 3 * moment.month]
    return f"{moment.day} {month} {moment.year}"


def _clean(text: str) -> str:
    """Drop control, format (right-to-left override) and unassigned characters; join lines."""
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return " ".join("".join(kept).split())


def _shortened(summary: str) -> str:
    text = _clean(summary)
    return text if len(text) < SUMMARY_LIMIT else text[: SUMMARY_LIMIT - 2].rstrip() + "…"
