"""The sentence for a report: from codes alone, in any language."""

from dataclasses import replace

import pytest

from cds_service.domain.finding import Box
from cds_service.domain.review import Reason, Review, Verdict
from smart_app.report_sentence import MESSAGES, report_sentence
from tests.builders import NOW, PNEUMONIA, a_finding, a_model

MODEL = a_model(version="0.2.0")


def said(verdict: Verdict, reason: Reason | None = None, box: Box | None = None) -> Review:
    code = PNEUMONIA.code
    return Review("t-1", "r-1", code, verdict, "Practitioner/1", NOW, reason, box, "free text")


def test_the_whole_sentence() -> None:
    assert report_sentence(MODEL, a_finding(), said(Verdict.AGREE)) == (
        "AI assistance (Sightline, cxr_pneumonia_peds 0.2.0): signs of pneumonia, "
        "score 0.93 (threshold 0.62); reviewed by clinician: agree. "
        "Reference model. Not a medical device."
    )


def test_a_site_s_own_model_without_a_label_says_none() -> None:
    assert report_sentence(replace(MODEL, label=""), a_finding(), None).endswith("clinician.")


@pytest.mark.parametrize(
    ("review", "words"),
    [
        (None, "; not reviewed by a clinician."),
        (said(Verdict.DISAGREE), "; reviewed by clinician: disagree."),
        (said(Verdict.DISAGREE, Reason.ABSENT), "disagree (the finding is not there)."),
        (said(Verdict.WRONG_PLACE, box=Box(1, 2, 3, 4)), "present, but elsewhere in the image."),
    ],
)
def test_it_has_what_the_reader_said_and_never_with_free_text(
    review: Review | None, words: str
) -> None:
    sentence = report_sentence(MODEL, a_finding(), review)

    assert sentence.endswith(f"{words} {MODEL.label}") and "free text" not in sentence


@pytest.mark.parametrize(
    ("present", "words"),
    [(False, ": no signs of pneumonia,"), (None, ": uncertain about pneumonia,")],
)
def test_absent_and_uncertain_are_said_as_such(present: bool | None, words: str) -> None:
    assert words in report_sentence(MODEL, a_finding(present=present), None)


def test_every_piece_of_language_goes_through_the_translation() -> None:
    asked: list[str] = []

    def translate(text: str) -> str:
        asked.append(text)
        return {"pneumonia": "Lungenentzündung"}.get(text, text.replace("signs of", "Zeichen von"))

    sentence = report_sentence(
        MODEL, a_finding(), said(Verdict.DISAGREE, Reason.ARTEFACT), translate=translate
    )

    assert "Zeichen von Lungenentzündung" in sentence
    assert set(asked) == {
        MESSAGES["report.sentence"],
        MESSAGES["report.present"],
        MESSAGES["report.disagree-because"],
        "pneumonia",
        Reason.ARTEFACT.display.lower(),
        MODEL.label,
    }
