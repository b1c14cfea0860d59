"""What a card says, row by row of the design's table, and what it never says."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cds_service.domain.card import Card, Indicator
from cds_service.domain.finding import Coding, Result
from cds_service.domain.job import Job, JobState, JobStep, Wait
from cds_service.domain.study import SeriesReference
from cds_service.usecases.card_words import markdown, study_name
from cds_service.usecases.compose_card import PLAIN, Circumstances
from tests.builders import NOW, a_finding, a_model, a_result, a_study, an_analysis, not_analysed
from tests.unit.cards.builders import a_call, a_writer


def a_card(result: Result, **changes: Any) -> Card:
    return a_writer(**changes).of_result(a_call(), result, a_study())


def a_result_with(**changes: Any) -> Result:
    return a_result(analysis=an_analysis(findings=(a_finding(**changes),)))


def a_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": "j-1",
        "dispatch_key": "k",
        "study": a_study(),
        "model_id": "cxr_pneumonia_peds",
        "step": JobStep.QUEUED,
        "state": JobState.OPEN,
        "attempts": 0,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Job(**(values | changes))


def test_a_finding_above_its_threshold_is_a_warning_with_one_score() -> None:
    card = a_card(a_result())

    assert card.indicator is Indicator.WARNING
    assert (
        card.summary == "Chest X-ray 2 Jan 2026: signs of pneumonia (AI score 0.93, threshold 0.62)"
    )


def test_no_score_claims_to_be_certain() -> None:
    card = a_card(a_result_with(probability=0.9999))

    assert "(AI score >0.99, threshold 0.62)" in card.summary


def test_a_finding_that_the_model_card_calls_critical_is_critical() -> None:
    assert a_card(a_result_with(critical=True)).indicator is Indicator.CRITICAL


def test_nothing_found_says_what_was_looked_for_and_rules_nothing_out() -> None:
    card = a_card(a_result_with(present=False, probability=0.1))

    assert card.summary == "Chest X-ray 2 Jan 2026: AI found no signs of pneumonia"
    assert card.indicator is Indicator.INFO and "rules nothing out" in card.detail_markdown


def test_inside_the_abstain_band_the_card_has_no_verdict_and_no_number() -> None:
    card = a_card(a_result_with(present=None, probability=0.6))

    assert card.summary == "Chest X-ray 2 Jan 2026: uncertain, the AI cannot tell"


def test_a_study_that_was_not_analysed_says_why() -> None:
    reason = not_analysed("age", "made for children aged 1-5, this patient is 61")

    card = a_card(a_result(analysis=reason))

    assert card.summary == (
        "Chest X-ray 2 Jan 2026 was not analysed: made for children aged 1-5, this patient is 61"
    )
    assert "score 0" not in card.detail_markdown


def test_a_mix_up_sends_the_reader_to_radiology() -> None:
    text = "images could not be matched to this patient"

    card = a_card(a_result(analysis=not_analysed("patient-mismatch", text)))

    assert card.summary == (
        "Chest X-ray 2 Jan 2026 was not analysed: images could not be matched to this patient. "
        "Check with radiology"
    )


def test_a_running_analysis_is_calm_and_says_how_long() -> None:
    card = a_writer().of_job(a_call(), a_job(), a_study(), Wait(0, is_held=True, seconds=17))

    assert card.summary == "Chest X-ray 2 Jan 2026: AI analysis running, about 20 s"
    assert card.indicator is Indicator.INFO


@pytest.mark.parametrize(
    ("step", "is_held", "said"),
    [
        (JobStep.QUEUED, False, "queued"),
        (JobStep.QUEUED, True, "running"),
        (JobStep.READING, True, "running"),
    ],
)
def test_no_time_is_promised_when_nobody_can_tell(step: JobStep, is_held: bool, said: str) -> None:
    wait = Wait(3, is_held=is_held, seconds=None)

    card = a_writer().of_job(a_call(), a_job(step=step), a_study(), wait)

    assert card.summary == f"Chest X-ray 2 Jan 2026: AI analysis {said}"


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.QUARANTINED])
def test_a_failed_analysis_is_said_without_blame_on_the_study(state: JobState) -> None:
    card = a_writer().of_job(a_call(), a_job(state=state), a_study(), None)

    assert card.summary == "Chest X-ray 2 Jan 2026 was not analysed: technical problem"


def test_the_detail_says_what_was_looked_for_what_not_by_what_when_and_what_next() -> None:
    detail = a_card(a_result()).detail_markdown

    for fact in (
        "pneumonia, on frontal chest X-rays of children aged 1-5",
        "pleural effusion, fractures",
        "Sightline paediatric pneumonia",
        "0.1.0",
        "5 Jan 2026 09:00 UTC",
        "**Next:**",
        "Not a medical device",
    ):
        assert fact in detail


def test_no_card_says_normal() -> None:
    cards = [
        a_card(a_result_with(present=present, probability=p))
        for present, p in ((True, 0.9), (False, 0.1), (None, 0.6))
    ]
    cards.append(a_card(a_result(analysis=not_analysed("view", "made for frontal chest X-rays"))))
    cards.append(a_writer().of_job(a_call(), a_job(), a_study(), None))
    cards.append(a_writer().of_silence(a_call()))

    assert not [c for c in cards if "normal" in f"{c.summary} {c.detail_markdown}".lower()]


def test_the_link_opens_the_app_on_this_study_and_result() -> None:
    (link,) = a_card(a_result()).links

    assert link.url == "https://ai.example.org/app/launch"
    assert json.loads(link.app_context) == {
        "study": "1.2.840.99999.1",
        "job": None,
        "result": "r-1",
    }


def test_the_link_of_a_running_analysis_follows_the_job() -> None:
    (link,) = a_writer().of_job(a_call(), a_job(), a_study(), None).links

    assert json.loads(link.app_context)["job"] == "j-1"


def test_ch2_90_the_source_is_the_model_and_ch2_115_has_a_topic() -> None:
    source = a_card(a_result()).source

    assert source.label == "Sightline paediatric pneumonia"
    assert source.url == "https://ai.example.org/app/models/cxr_pneumonia_peds"
    assert source.topic is not None and source.topic.system == "http://snomed.info/sct"


def test_ch2_136_override_reasons_have_a_display() -> None:
    assert all(reason.display for reason in a_card(a_result()).override_reasons)


def test_a_uuid_is_the_same_for_the_same_reader_and_another_for_another() -> None:
    writer = a_writer()

    def uuid(about: Circumstances = PLAIN, **changes: Any) -> str:
        return writer.of_result(a_call(**changes), a_result(), a_study(), about).uuid

    assert uuid() == uuid(Circumstances(newer_images=True))
    others = {uuid(user_id="Practitioner/2"), uuid(user_id=None), uuid(hook="order-sign")}
    assert len({uuid(), *others}) == 4


def test_the_finding_is_part_of_the_uuid() -> None:
    other = a_result_with(coding=Coding("s", "other", "Effusion"))

    assert a_card(a_result()).uuid != a_card(other).uuid


def test_ch2_214_a_card_carries_study_model_and_time_under_a_reverse_dns_name() -> None:
    ((name, value),) = a_card(a_result()).extension.items()

    assert name == "org.example.sightline.ai-result"
    assert value == {
        "studyDate": "2026-01-02",
        "modality": "DX",
        "modelId": "cxr_pneumonia_peds",
        "modelVersion": "0.1.0",
        "modelDigest": "sha256:" + "0" * 64,
        "resultId": "r-1",
        "computedAt": "2026-01-05T09:00:00Z",
    }


def test_no_study_uid_and_no_text_of_the_ehr_is_in_the_extension() -> None:
    study = a_study(modalities=("<script>", "DX"), description="secret")

    extension = str(a_writer().of_result(a_call(), a_result(), study).extension)

    assert "1.2.840" not in extension and "script" not in extension and "secret" not in extension


def test_the_date_is_the_day_at_the_hospital() -> None:
    started = datetime(2026, 1, 2, 23, 30, tzinfo=timezone(timedelta(hours=-8)))

    assert study_name(a_study(), started) == "Chest X-ray 2 Jan 2026"


@pytest.mark.parametrize(
    ("study", "name"),
    [
        (a_study(modalities=("CT",)), "Chest CT"),
        (a_study(modalities=("SR", "CR"), series=()), "X-ray"),
        (a_study(modalities=("ECG",)), "Imaging study"),
        (None, "Imaging study"),
        (a_study(series=(SeriesReference("1.2", "DX", ("69536005",)),)), "Head X-ray"),
    ],
)
def test_a_study_is_named_by_what_it_is(study: Any, name: str) -> None:
    assert study_name(study, None) == name


HOSTILE = [
    "<script>alert(1)</script>",
    "](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "https://evil.example",
    "www.evil.example",
    "user@evil.example",
    "&lt;b&gt;",
    "# heading",
    "| a | b |\n|---|---|",
    "`code`",
    "\u202egnp.exe",
    "a\n\n- b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_description_reaches_no_card(text: str) -> None:
    study = a_study(description=text)

    card = a_writer().of_result(a_call(), a_result(study_description=text), study)

    assert text not in card.summary and text not in card.detail_markdown
    assert card.summary.startswith("Chest X-ray 2 Jan 2026")


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_is_only_text(text: str) -> None:
    html = MarkdownIt("commonmark", {"linkify": False}).enable("table").render(markdown(text))

    assert html.startswith("<p>") and html.count("<") == 2
    assert "://" not in markdown(text) and "www." not in markdown(text)  # bare links


@given(st.text(max_size=400), st.text(max_size=400))
def test_ch2_83_a_summary_is_under_140_characters_whatever_the_model_is_called(
    display: str, reason: str
) -> None:
    found = a_result_with(coding=Coding("s", "c", display))
    refused = a_result(analysis=not_analysed("other", reason))

    for result in (found, refused):
        card = a_card(result, identity=a_model(title=display))
        assert 0 < len(card.summary) < 140
