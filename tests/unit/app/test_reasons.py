"""What the page says about a score's worth."""

from hypothesis import given
from hypothesis import strategies as st

from cds_service.adapters.model_shelf import ModelShelf
from cds_service.wiring.shelf import model_facts
from models.registry import card_of
from smart_app import Measured, Share
from smart_app.reasons import checks_of, score_meaning, threshold_meaning
from tests.builders import a_finding, a_model

MEASURED = Measured(
    sensitivity=Share(0.9517, 0.9446, 0.9583),
    specificity=Share(0.9791, 0.9709, 0.9865),
    images=5190,
    with_finding=3850,
    is_external=False,
)


def test_only_checks_that_were_made_are_named() -> None:
    finding = a_finding(guards=("patient-id", "birth-date", "modality", "view", "pixels"))

    assert checks_of(finding) == [
        ("Patient", "Patient number and birth date agree with the chart."),
        ("Intended use", "Kind of image and view fit."),
        ("Image quality", "Complete and readable."),
    ]


def test_a_single_check_is_said_in_the_singular() -> None:
    assert checks_of(a_finding(guards=("patient-id", "view"))) == [
        ("Patient", "Patient number agrees with the chart."),
        ("Intended use", "View fits."),
    ]


def test_a_polarity_that_the_image_told_is_named() -> None:
    ((name, text),) = checks_of(a_finding(guards=("polarity", "negative")))

    assert name == "Image quality" and text.startswith("Black and white told by the image itself")


def test_a_result_that_kept_no_checks_claims_none() -> None:
    assert checks_of(a_finding(guards=())) == []


def test_a_calibrated_score_is_said_as_a_count_with_its_catch() -> None:
    said = score_meaning(a_finding(probability=0.934), MEASURED)

    assert "about 93 of 100" in said
    assert "74% of all images did" in said and "too high" in said


@given(st.floats(0, 1))
def test_no_score_is_ever_called_certain(probability: float) -> None:
    said = score_meaning(a_finding(probability=probability), MEASURED)

    assert "about 0 of" not in said and "about 100 of" not in said


def test_the_threshold_is_said_with_its_intervals_and_where_it_was_measured() -> None:
    said = threshold_meaning(a_finding(), MEASURED)

    assert "95% (95% interval 94% to 96%) were above it (sensitivity)" in said
    assert "98% (95% interval 97% to 99%) were not (specificity)" in said
    assert "other hospitals are untested" in said


def test_a_card_without_figures_claims_none() -> None:
    assert threshold_meaning(a_finding(), None) == ""
    assert "no figures" in score_meaning(a_finding(), None)


def test_the_installed_model_s_figures_are_those_of_its_card() -> None:
    card = card_of("cxr_pneumonia_peds")

    facts = model_facts(ModelShelf(None, card.id), a_model(id=card.id, digest=card.digest))

    assert facts is not None and facts.measured is not None
    assert (
        facts.measured.sensitivity.value
        == card.details["performance"]["figures"]["sensitivity"]["value"]
    )
    assert facts.measured.with_finding / facts.measured.images > 0.7
