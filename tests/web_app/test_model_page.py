"""A model's card as a page: public, whole, and without anything about a patient."""

from dataclasses import replace

from cds_service.domain.model_sheet import ATTRIBUTES, NOT_MEASURED_HERE
from cds_service.fhir.chai_card import NAMESPACE
from tests.web_app.house import SHEET, House

PAGE = "/app/models/cxr_pneumonia_peds"


def test_anybody_may_read_the_card_without_a_session(house: House) -> None:
    answer = house.app.test_client().get(PAGE)

    text = answer.get_data(as_text=True)
    assert answer.status_code == 200 and "Set-Cookie" not in answer.headers
    for _, questions in ATTRIBUTES:
        for _, question in questions:
            assert question in text
    assert text.count(NOT_MEASURED_HERE) == 2 and "HTI-5" in text
    assert SHEET.identity.digest in text and "0.9936 to 0.9961" in text
    assert "CC BY 4.0" in text and "Not a medical device" in text


def test_the_card_is_there_for_programs_too(house: House) -> None:
    answer = house.app.test_client().get(f"{PAGE}/chai.xml")

    assert answer.mimetype == "application/xml" and NAMESPACE.encode() in answer.data


def test_a_model_that_is_not_installed_is_said_to_be_none(house: House) -> None:
    for path in ("/app/models/other", "/app/models/other/chai.xml", "/app/models/..%2Fsecrets"):
        assert house.app.test_client().get(path).status_code == 404


def test_what_a_foreign_package_says_is_shown_as_text(house: House) -> None:
    hostile = replace(SHEET, developer="<script>alert(1)</script>", answers={}, tables=())
    house.swap(model_sheet=lambda _model_id: hostile)

    text = house.app.test_client().get(PAGE).get_data(as_text=True)

    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
