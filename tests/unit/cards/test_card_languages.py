"""Cards in twelve languages: every state in each, short, labelled, and else the card it was."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cds_service.adapters.model_shelf import ModelShelf
from cds_service.domain.card import SUMMARY_LIMIT, Card
from cds_service.domain.dialect import DIALECTS, DialectName
from cds_service.domain.finding import AnalysisStatus, Coding, Reason, Result
from cds_service.domain.imaging_terms import KINDS, REGIONS
from cds_service.domain.job import JobState, JobStep, Wait
from cds_service.domain.order import ImagingOrder
from cds_service.domain.study import SeriesReference, StudyReference
from cds_service.domain.vocabulary import FINDINGS, REASON_CLAUSES
from cds_service.lint import Kind, Target, Version, lint
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.card_language import ENGLISH, Words
from cds_service.usecases.card_words import not_analysed as spoken_refusal
from cds_service.usecases.compose_card import CardWriter, Circumstances
from cds_service.usecases.limit_alerts import with_more
from cds_service.usecases.suggest_actions import suggest_about_orders, suggest_follow_up
from cds_service.web.cards_json import CardsJson
from smart_app.card_language import card_words, warm_up
from smart_app.catalogues import DRAFT_NOTE, LANGUAGES, SHARED, SOURCE, catalogue
from tests.builders import (
    a_finding,
    a_model,
    a_result,
    a_study,
    a_tenant,
    an_analysis,
    not_analysed,
)
from tests.unit.cards.builders import MakeHouse, a_call, a_writer, know
from tests.unit.cards.test_compose_card import a_job
from tests.web_app.messages import extracted

TRANSLATED = tuple(code for code in LANGUAGES if code != SOURCE)
in_every_language = pytest.mark.parametrize("code", LANGUAGES)
in_every_translation = pytest.mark.parametrize("code", TRANSLATED)
LABEL = "Reference model for development and evaluation. Not a medical device."
PRESENCES = {"present": True, "absent": False, "uncertain": None}


def words_in(code: str) -> Words:
    return card_words(a_tenant(language=LANGUAGES[code].tag, shows_drafts=True))


def a_writer_in(words: Words, **changes: object) -> CardWriter:
    return replace(
        a_writer(**({"identity": replace(a_model(), label=LABEL)} | changes)), words=words
    )


def a_result_of(*presences: bool | None, **changes: object) -> Result:
    findings = tuple(
        a_finding(present=present, coding=Coding("http://snomed.info/sct", str(n), FINDINGS[n]))
        for n, present in enumerate(presences)
    )
    return a_result(analysis=an_analysis(findings=findings), **changes)


def states(writer: CardWriter) -> Iterator[tuple[str, Card]]:
    """Yield a card for every row of the design's table, and for what may come on top of it."""
    call, study, words = a_call(), a_study(), writer.words
    earlier = a_result_of(False, study_started=datetime(2025, 12, 1, tzinfo=UTC))
    for name, present in PRESENCES.items():
        result = a_result_of(present)
        yield name, writer.of_result(call, result, study)
        yield f"{name} of three", writer.of_result(call, a_result_of(present, False, False), study)
        yield f"{name}, ordered again", writer.of_order(call, result, study)
    many = a_result_of(True, True, True, None, False, False)
    yield "many findings", writer.of_result(call, many, study)
    yield "ordered without a day", writer.of_order(call, a_result_of(study_started=None), None)
    critical = a_result(analysis=an_analysis(findings=(a_finding(critical=True),)))
    about = Circumstances(
        newer_images=True, newer=earlier, earlier=(earlier,), is_unreviewed_at_discharge=True
    )
    yield "discharge", writer.of_result(call, critical, study, about)
    for code in REASON_CLAUSES:
        refused = a_result(analysis=not_analysed(code, "the reason in English"))
        yield f"refused: {code}", writer.of_result(call, refused, study)
    silent = an_analysis(findings=(), status=AnalysisStatus.NOT_ANALYSED, reason=None)
    yield "refused", writer.of_result(call, a_result(analysis=silent), study)
    yield "queued", writer.of_job(call, a_job(), study, None)
    yield "running", writer.of_job(call, a_job(step=JobStep.READING), study, None)
    yield "running on", writer.of_job(call, a_job(), study, Wait(0, seconds=17, is_held=True))
    yield "failed", writer.of_job(call, a_job(state=JobState.FAILED), study, None)
    yield "given up", writer.of_job(call, a_job(state=JobState.QUARANTINED), study, None)
    yield "silence", writer.of_silence(call)
    for number in (1, 2, 3, 11, 100):
        yield f"held back: {number}", writer.of_limit(call, number)
    card = writer.of_result(call, a_result(), study)
    yield "with more", with_more(card, [card, card], words)
    yield "with suggestions", suggest_follow_up(card, a_result(), call, words)
    orders = [ImagingOrder("ServiceRequest/1", "chest", "X-ray"), ImagingOrder("a/2", "head")]
    yield "one draft order", suggest_about_orders(card, orders[:1], words)
    yield "draft orders", suggest_about_orders(card, orders, words)


def labels_of(card: Card) -> list[str]:
    offered = [text for one in card.suggestions for text in (one.label, *_described(one.actions))]
    return [link.label for link in card.links] + offered


def _described(actions: tuple[object, ...]) -> list[str]:
    return [str(action.description) for action in actions]  # type: ignore[attr-defined]


def longest_studies() -> Iterator[StudyReference]:
    """Yield a study of every kind and region that has a name, and one that has none."""
    yield a_study(series=(), modalities=())
    for kind in KINDS:
        for region in REGIONS:
            series = (SeriesReference("1.2.3", kind, (region,), 1),)
            yield a_study(modalities=(kind,), series=series)


# --- every state in every language ---------------------------------------------------------------


@in_every_language
def test_every_state_is_a_card_that_any_client_takes(code: str) -> None:
    for name, card in states(a_writer_in(words_in(code))):
        assert 0 < len(card.summary) < SUMMARY_LIMIT, name
        assert not card.summary.endswith("…"), name
        assert all(0 < len(label) < SUMMARY_LIMIT for label in labels_of(card)), name
        texts = (card.summary, card.source.label, *labels_of(card))
        assert not [c for t in texts for c in t if unicodedata.category(c)[0] == "C"], name


@in_every_language
def test_the_linter_finds_nothing_in_any_language(code: str) -> None:
    cards = [card for _, card in states(a_writer_in(words_in(code)))]
    writer = CardsJson(DIALECTS[DialectName.STRICT_2_0], lambda context: context)

    for first, second in pairwise(cards):
        body = json.loads(json.dumps(writer.response([first, second]), ensure_ascii=False))
        breaches = [
            one
            for one in lint(body, Target(Kind.RESPONSE, Version.V2, None))
            if first.uuid != second.uuid
        ]
        assert breaches == []


@in_every_translation
def test_every_state_is_said_in_the_language_of_the_site(code: str) -> None:
    english = dict(states(a_writer_in(ENGLISH)))

    for name, card in states(a_writer_in(words_in(code))):
        same = english[name]
        assert card.summary != same.summary, name
        assert not set(labels_of(card)) & set(labels_of(same)), name
        said = set(card.detail_markdown.split("\n\n")) & set(same.detail_markdown.split("\n\n"))
        assert said == set(), name


def test_whatever_a_card_says_is_in_the_catalogues() -> None:
    asked: set[str] = set()

    def noted(text: str) -> str:
        asked.add(text)
        return text

    def noted_plural(one: str, many: str, num: int) -> str:
        assert (one, many) in known
        return many

    known = extracted(SHARED)
    for _ in states(a_writer_in(Words(translate=noted, plural=noted_plural))):
        pass

    assert asked - known <= {a_model().title, a_model().id}  # of the model under test


@in_every_translation
def test_no_language_changes_which_card_it_is(code: str) -> None:
    for (_, card), (name, english) in zip(
        states(a_writer_in(words_in(code))), states(a_writer()), strict=True
    ):
        assert card.uuid == english.uuid, name
        assert [one.uuid for one in card.suggestions] == [one.uuid for one in english.suggestions]
        assert [link.app_context for link in card.links] == [
            link.app_context for link in english.links
        ]
        assert card.indicator is english.indicator and card.extension == english.extension
        assert card.override_reasons == english.override_reasons  # in HL7's own words
        assert card.source.topic == english.source.topic


@in_every_language
def test_the_longest_names_leave_room_for_the_score(code: str) -> None:
    words = words_in(code)
    writer, unreviewed = a_writer_in(words), Circumstances(is_unreviewed_at_discharge=True)
    one = a_finding(probability=0.999, coding=Coding("s", "c", "tubes, lines and foreign bodies"))
    result = a_result(analysis=an_analysis(findings=(one,)))
    many = a_result(analysis=an_analysis(findings=(one, *(a_finding(),) * 11)))
    mismatch = a_result(analysis=not_analysed("patient-mismatch", REASON_CLAUSES["other-study"]))
    months = [datetime(2026, 1, 22, tzinfo=UTC) + timedelta(days=30 * n) for n in range(12)]

    for study in longest_studies():
        for day in months:
            taken = replace(result, study_started=day)
            scored = writer.of_result(a_call(), taken, study).summary
            assert words.number(">0.99") in scored and not scored.endswith("…")
            refused = writer.of_result(a_call(), replace(mismatch, study_started=day), study)
            at_discharge = writer.of_result(a_call(), taken, study, unreviewed)
            counted = replace(many, study_started=day)
            for card in (
                refused,
                at_discharge,
                writer.of_result(a_call(), counted, study),
                writer.of_result(a_call(), counted, study, unreviewed),
                writer.of_order(a_call(), counted, study),
            ):
                assert len(card.summary) < SUMMARY_LIMIT
                assert not card.summary.endswith("…")


@in_every_translation
@pytest.mark.parametrize(
    ("code_of_refusal", "text", "kept"),
    [
        ("age", "made for children aged 1-5, this patient is 61", "61"),
        ("age", "made for children aged 1-5, this patient is 7 months old", "7"),
        ("modality", "made for frontal chest X-rays, this is a mammogram", "a mammogram"),
        ("body-part", "made for frontal chest X-rays, this shows knee", "knee"),
        ("colour", "it is a colour image", "it is a colour image"),
    ],
)
def test_a_refusal_is_said_as_exactly_as_in_english(
    code: str, code_of_refusal: str, text: str, kept: str
) -> None:
    words = words_in(code)
    refused = a_result(analysis=not_analysed(code_of_refusal, text))

    summary = a_writer_in(words).of_result(a_call(), refused, a_study()).summary

    assert words.gettext(kept) in summary and not summary.endswith("…")


@in_every_translation
def test_a_refusal_that_is_too_long_for_a_card_is_said_in_general(code: str) -> None:
    words = words_in(code)
    use = f"frontal chest X-rays of {'very ' * 20}small children"
    reason = Reason("not-this-kind", f"made for {use}, this image does not look like one")
    knows_it = replace(
        words, translate=lambda text: use.upper() if text == use else words.translate(text)
    )

    summary, _advice = spoken_refusal("CT", reason, knows_it)

    assert words.gettext(REASON_CLAUSES["not-this-kind"]) in summary
    assert len(summary) < SUMMARY_LIMIT and not summary.endswith("…")


def test_a_summary_that_must_be_cut_is_never_cut_inside_a_number() -> None:
    for length in range(100, 140):
        reason = f"{'x' * length} 1234567890"
        refused = a_result(analysis=not_analysed("of-a-guard-of-ours", reason))

        said = a_writer().of_result(a_call(), refused, a_study()).summary

        assert len(said) < SUMMARY_LIMIT
        assert not said.endswith("…") or not said[-2].isdigit()


# --- what is not ours stays harmless ---------------------------------------------------------


@given(
    st.sampled_from(TRANSLATED),
    st.text(max_size=30),
    st.sampled_from(("[x](https://a.example)", "<b>", "%(day)s", "%", "![i](j)", "{0}", "")),
)
def test_no_text_of_a_model_card_becomes_markup_in_any_language(
    code: str, text: str, trap: str
) -> None:
    own = f"{text}{trap}"
    writer = a_writer_in(words_in(code), scope=own, does_not_look_for=(own,))
    finding = a_finding(coding=Coding("http://snomed.info/sct", "1", own or "?"))

    card = writer.of_result(a_call(), a_result(analysis=an_analysis(findings=(finding,))), None)

    html = MarkdownIt("commonmark", {"html": True}).render(card.detail_markdown)
    assert "<a " not in html and "<img" not in html and "<b>" not in html
    assert len(card.summary) < SUMMARY_LIMIT


# --- numbers, days and the model's label -----------------------------------------------------


@pytest.mark.parametrize(
    ("code", "summary"),
    [
        ("de", "Röntgen Thorax 2. Jan. 2026: Zeichen für Pneumonie (KI-Score 0,93, Schwelle 0,62)"),
        ("hi", "छाती एक्स-रे 2 जन॰ 2026: निमोनिया के संकेत (AI स्कोर 0.93, सीमा 0.62)"),
        (
            "es",
            "Radiografía de tórax 2 ene 2026: signos de neumonía "
            "(puntuación de IA 0,93, umbral 0,62)",
        ),
    ],
)
def test_a_finding_is_said_with_the_days_and_numbers_of_the_language(
    code: str, summary: str
) -> None:
    card = a_writer_in(words_in(code)).of_result(a_call(), a_result(), a_study())

    assert card.summary == summary


@in_every_translation
def test_the_label_of_a_reference_model_is_in_every_language(code: str) -> None:
    card = a_writer_in(words_in(code)).of_silence(a_call())

    assert catalogue(code, SHARED).gettext(LABEL) in card.detail_markdown
    assert LABEL not in card.detail_markdown


# --- which language --------------------------------------------------------------------------


@in_every_translation
def test_a_draft_says_in_its_language_that_nobody_reviewed_it(code: str) -> None:
    note = catalogue(code, SHARED).gettext(DRAFT_NOTE)

    for name, card in states(a_writer_in(words_in(code))):
        assert note in card.detail_markdown, name


@in_every_translation
def test_a_site_that_wants_no_drafts_gets_english(a_house: MakeHouse, code: str) -> None:
    assert card_words(a_tenant(language=LANGUAGES[code].tag)) is ENGLISH
    assert card_words(a_tenant(shows_drafts=True)) is ENGLISH


def test_a_hook_is_answered_in_the_language_of_its_site(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)
    desk = replace(house.desk, words=card_words)
    german = a_tenant(language="de", shows_drafts=True)

    (card,) = answer_hook(a_call(), german, desk, budget_s=60)
    (english,) = answer_hook(a_call(), a_tenant(), desk, budget_s=60)

    assert card.summary.startswith("Röntgen Thorax 2. Jan. 2026: Zeichen für Pneumonie")
    assert "Ich habe diesen Befund gesehen" in [one.label for one in card.suggestions]
    assert english.summary.startswith("Chest X-ray 2 Jan 2026: signs of pneumonia")
    assert card.uuid == english.uuid


def test_what_a_draft_writes_into_the_record_is_labelled_there() -> None:
    words = words_in("fr")
    card = a_writer_in(words).of_result(a_call(), a_result(), a_study())

    card = suggest_follow_up(card, a_result(), a_call(), words)

    (ask, seen) = (one.actions[0].resource or {} for one in card.suggestions)
    assert ask["reasonCode"] == [{"text": f"{card.summary} [{words.note}]"}]
    assert seen["description"] == f"{card.summary} [{words.note}]"


def test_after_the_warm_up_no_hook_reads_a_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up()
    monkeypatch.setattr("smart_app.catalogues.FOLDER", tmp_path)  # which has none

    for code in LANGUAGES:
        assert words_in(code).day(datetime(2026, 1, 2, tzinfo=UTC))
        assert words_in(code).gettext("pneumonia")


def test_every_bundled_model_says_its_label_in_every_language() -> None:
    shelf = ModelShelf(None, "cxr_pneumonia_peds")
    labels = {shelf.card(model_id).label for model_id in shelf.ids()}

    assert len(labels) >= 2
    for code in TRANSLATED:
        assert not {words_in(code).gettext(label) for label in labels} & labels
