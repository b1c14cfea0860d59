"""Compose cards: what the clinician reads about one study, in our own words only.

The detail never says that anything is healthy, because the model looks for one thing. A card's
uuid names the result, the finding, the hook and the reader, so feedback on it can be understood.

Source: architecture "What a card says"; CDS Hooks 2.0 "Card Attributes", "Extensions"; threat T17.
"""

import json
from collections.abc import Callable
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
)
from cds_service.domain.hook import HookCall
from cds_service.domain.job import Job, JobState, Wait
from cds_service.domain.study import StudyReference
from cds_service.usecases import card_extension
from cds_service.usecases.card_language import ENGLISH, Words
from cds_service.usecases.card_scores import scores
from cds_service.usecases.card_words import (
    advice_on,
    clean,
    dated_verdict,
    finding_name,
    fitting,
    indicator_of,
    labelled,
    markdown,
    not_analysed,
    running,
    said_of,
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
    newer_model: bool = False  # another than the result's is analysing the study
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
    words: Words = ENGLISH

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
        words, finding = self.words, about.finding or worst(result)
        summary, advice = self._said(result, study, about)
        if result.analysis.status is AnalysisStatus.ANALYSED:
            label = words.gettext("Open images and AI result")
        else:
            label = words.gettext("Open details")
        paragraphs = [
            *self._facts(result),
            *(self._dated(words.gettext("Earlier:"), one) for one in about.earlier),
            self._dated(words.gettext("Newer study:"), about.newer) if about.newer else "",
            self._next(advice),
            *self._under_way(about),
        ]
        return self._card(
            call,
            self.model_of(result.analysis.model),
            f"result:{result.id}",
            summary,
            indicator_of(finding),
            paragraphs,
            link=self._link(label, result.study_uid, job_id=None, result_id=result.id),
            extension=card_extension.of_result(result, study),
            finding_code=finding.coding.code if finding else None,
        )

    def _said(
        self, result: Result, study: StudyReference | None, about: Circumstances
    ) -> tuple[str, str]:
        """Return the summary and what to do next."""
        words, name = self.words, study_name(study, result.study_started, self.words)
        finding = about.finding or worst(result)
        if about.is_unreviewed_at_discharge:
            name = words.gettext("Not yet reviewed: %(study)s", study=name)
        if finding is None:
            summary, advice = not_analysed(name, result.analysis.reason, words)
        else:
            said = (said_of(result, finding, words, is_scored=with_it) for with_it in (True, False))
            summary = fitting(
                *(words.gettext("%(study)s: %(said)s", study=name, said=one) for one in said)
            )
            advice = advice_on(finding.present, words)
        if about.is_unreviewed_at_discharge:
            advice = words.gettext(
                "review it before the patient leaves, or name who will follow it up."
            )
        return summary, advice

    def _under_way(self, about: Circumstances) -> list[str]:
        words, told = self.words, []
        if about.newer_images:
            told.append(words.gettext("New images have arrived and are being analysed."))
        if about.newer_model:
            told.append(
                words.gettext("Another AI model, or a newer version, is analysing this study now.")
            )
        return told

    def of_job(self, call: HookCall, job: Job, study: StudyReference, wait: Wait | None) -> Card:
        """Say that the analysis is queued or running, or that it could not be done."""
        model, words = self.models(job.model_id) or self.model, self.words
        name = study_name(study, study.started, words)
        if job.is_lost:
            key, label = f"failed:{job.id}", words.gettext("Open details")
            summary = words.gettext("%(study)s was not analysed: technical problem", study=name)
            stopped = words.gettext("The analysis stopped because of a technical problem.")
            again = words.gettext("It is tried again later.")
            paragraphs = [
                f"{stopped} {again}" if job.state is JobState.FAILED else stopped,
                self._next(words.gettext("read the images as you would without this service.")),
            ]
        else:
            key, label = f"running:{job.id}", words.gettext("Follow the analysis")
            summary = running(name, job, wait, words)
            advice = words.gettext(
                "nothing. Open it to follow the progress, or open the chart again later."
            )
            paragraphs = [self._looks_for(model), self._next(advice)]
        return self._card(
            call,
            model,
            key,
            summary,
            Indicator.INFO,
            paragraphs,
            link=self._link(label, study.study_uid, job_id=job.id, result_id=job.result_id),
            extension=card_extension.of_analysis(model.identity, study.started, study),
        )

    def of_silence(self, call: HookCall) -> Card:
        """Say that the patient's studies could not be read just now."""
        words = self.words
        paragraphs = [
            words.gettext(
                "The record did not answer in time, so no AI result is shown, found or not."
            ),
            self._next(words.gettext("nothing. Open the chart again later.")),
        ]
        summary = words.gettext("Imaging AI could not read this patient's studies just now")
        key = f"silence:{call.tenant_id}:{call.patient_id}"
        return self._card(call, self.model, key, summary, Indicator.INFO, paragraphs)

    def of_order(self, call: HookCall, result: Result, study: StudyReference | None) -> Card:
        """Say that a study like the one being ordered has an AI read already."""
        words, finding, started = self.words, worst(result), result.study_started
        said = said_of(result, finding, words, is_scored=False) if finding else ""
        if started:
            summary = words.gettext(
                "A comparable study of %(day)s already has an AI read: %(said)s",
                day=words.day(started),
                said=said,
            )
        else:
            summary = words.gettext(
                "A comparable study already has an AI read: %(said)s", said=said
            )
        advice = words.gettext(
            "look at those images first; order again if the question is another one."
        )
        paragraphs = [
            labelled(words.gettext("Study:"), markdown(study_name(study, started, words))),
            *self._facts(result),
            self._next(advice),
        ]
        label = words.gettext("Open the earlier study")
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
        words = self.words
        paragraphs = [
            words.gettext(
                "This site limits how many AI notices are shown per 100 charts. None of those that "
                "are held back is critical."
            ),
            self._next(words.gettext("nothing. The AI results are in the app.")),
        ]
        key = f"limit:{call.tenant_id}:{call.patient_id}"
        summary = words.ngettext(
            "%(num)s notice held back by this site's limit",
            "%(num)s notices held back by this site's limit",
            held_back,
        )
        card = self._card(call, self.model, key, summary, Indicator.INFO, paragraphs)
        return replace(card, extension=card_extension.of_held_back(held_back))

    def _facts(self, result: Result) -> list[str]:
        model, known = result.analysis.model, self.model_of(result.analysis.model)
        words, moment = self.words, result.computed_at.astimezone(UTC)
        not_looked_for = ", ".join(markdown(words.gettext(one)) for one in known.does_not_look_for)
        computed = words.gettext(
            "%(title)s (%(id)s %(version)s), computed %(day)s %(time)s UTC",
            title=markdown(words.gettext(model.title or model.id)),
            id=markdown(model.id),
            version=markdown(model.version),
            day=words.day(moment),
            time=f"{moment:%H:%M}",
        )
        return [
            *scores(result.analysis.findings, words),
            self._looks_for(known),
            labelled(words.gettext("Does not look for:"), not_looked_for) if not_looked_for else "",
            labelled(words.gettext("Model:"), computed),
        ]

    def _looks_for(self, model: CardModel) -> str:
        words = self.words
        what = ", ".join(markdown(finding_name(one.display, words)) for one in model.findings)
        if model.scope:
            scope = markdown(words.gettext(model.scope))
            what = words.gettext("%(findings)s, on %(scope)s", findings=what, scope=scope)
        return labelled(words.gettext("Looks for:"), what)

    def _next(self, advice: str) -> str:
        return labelled(self.words.gettext("Next:"), advice)

    def _dated(self, label: str, result: Result) -> str:
        return labelled(label, dated_verdict(result, self.words))

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
        last = [markdown(self.words.gettext(model.label)), markdown(self.words.note)]
        return Card(
            uuid=str(uuid5(SIGHTLINE_NAMESPACE, name)),
            summary=fitting(summary),
            indicator=indicator,
            source=Source(
                label=clean(self.words.gettext(model.title or model.id)),
                url=f"{self.public_url}/app/models/{model.id}",
                topic=speaking.findings[0],
            ),
            detail_markdown="\n\n".join(p for p in [*paragraphs, *last] if p),
            links=() if link is None else (link,),
            override_reasons=OVERRIDE_REASONS,
            extension=extension or {},
        )
