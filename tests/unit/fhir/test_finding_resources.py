"""The resources that a result becomes."""

from dataclasses import replace

import pytest
from fhir.resources.R4B.bundle import Bundle

from cds_service.adapters.model_sheets import sheet_of
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.domain.finding import Coding, finding_uuid, tracking_uid
from cds_service.fhir.finding_resources import AIAST, Json, finding_bundle
from cds_service.fhir.model_card import model_document
from tests.builders import a_finding, a_model, a_result, an_analysis, not_analysed

SHEET = sheet_of(ModelShelf(None, "cxr_pneumonia_peds"), "cxr_pneumonia_peds")


def _resources(bundle: Json, kind: str) -> list[Json]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def test_a_result_becomes_device_observation_report_and_provenance_in_one_valid_transaction() -> (
    None
):
    bundle = finding_bundle(a_result())

    Bundle.model_validate(bundle)
    assert bundle["type"] == "transaction"
    assert [entry["resource"]["resourceType"] for entry in bundle["entry"]] == [
        "Device",
        "Observation",
        "DiagnosticReport",
        "Provenance",
    ]


def test_every_reference_inside_the_bundle_names_an_entry_or_the_ehrs_own_record() -> None:
    bundle = finding_bundle(a_result())

    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    observation = _resources(bundle, "Observation")[0]
    report = _resources(bundle, "DiagnosticReport")[0]
    assert observation["device"]["reference"] in urls
    assert report["result"][0]["reference"] in urls
    assert observation["subject"]["reference"] == "Patient/p-1"
    assert observation["derivedFrom"][0]["reference"] == "ImagingStudy/s-1"


@pytest.mark.parametrize(
    ("present", "code", "interpretation"),
    [(True, "52101004", "POS"), (False, "272519000", "NEG"), (None, "82334004", "IND")],
)
def test_present_absent_and_uncertain_have_a_code_each(
    present: bool | None, code: str, interpretation: str
) -> None:
    result = a_result(analysis=an_analysis(findings=(a_finding(present=present),)))

    observation = _resources(finding_bundle(result), "Observation")[0]

    assert observation["valueCodeableConcept"]["coding"][0]["code"] == code
    assert observation["interpretation"][0]["coding"][0]["code"] == interpretation


def test_the_body_site_is_the_model_cards_and_without_one_there_is_none() -> None:
    site = Coding("http://snomed.info/sct", "51185008", "Thoracic structure")
    stated = a_result(analysis=an_analysis(findings=(a_finding(body_site=site),)))

    (with_site,) = _resources(finding_bundle(stated), "Observation")
    (without,) = _resources(finding_bundle(a_result()), "Observation")

    assert with_site["bodySite"] == {
        "coding": [
            {
                "system": "http://snomed.info/sct",
                "code": "51185008",
                "display": "Thoracic structure",
            }
        ]
    }
    assert "bodySite" not in without


def test_provenance_and_device_lead_to_the_model_card_that_our_endpoint_has() -> None:
    """As AI-Provenance has it: the device as agent, the model card as what was derived from."""
    result = a_result()
    card = model_document(SHEET, page_url="https://ai.example.org/app/models/m")["identifier"][0]

    bundle = finding_bundle(replace(result, analysis=an_analysis(model=SHEET.identity)))

    (provenance,), (device,) = _resources(bundle, "Provenance"), _resources(bundle, "Device")
    entities = {one["role"]: one["what"] for one in provenance["entity"]}
    (agent,) = provenance["agent"]
    assert entities["derivation"]["identifier"] == card
    assert entities["derivation"]["type"] == "DocumentReference"
    assert entities["source"]["reference"] == "ImagingStudy/s-1"
    assert agent["role"][0]["coding"][0]["code"] == "Artificial-Intelligence"
    assert device["extension"][0]["valueReference"]["identifier"] == card


def test_an_observation_is_preliminary_and_says_that_an_ai_asserted_it() -> None:
    observation = _resources(finding_bundle(a_result()), "Observation")[0]

    assert observation["status"] == "preliminary"
    assert observation["meta"]["security"] == [AIAST]
    assert "Not a medical device" in observation["note"][0]["text"]


def test_a_rerun_with_another_model_version_names_the_same_observation() -> None:
    first = finding_bundle(a_result())
    newer = an_analysis(model=a_model(version="0.2.0", digest="sha256:" + "1" * 64))
    second = finding_bundle(a_result(id="r-2", key="k-2", analysis=newer))

    names = [_resources(bundle, "Observation")[0]["identifier"] for bundle in (first, second)]
    assert names[0] == names[1]


def test_the_tracking_uid_is_the_finding_uuid_as_an_integer() -> None:
    name = finding_uuid("t-1", "1.2.840.99999.1", "cxr_pneumonia_peds", "233604007")

    observation = _resources(finding_bundle(a_result()), "Observation")[0]

    assert {"system": "urn:dicom:uid", "value": f"urn:oid:{tracking_uid(name)}"} in observation[
        "identifier"
    ]
    assert tracking_uid(name) == f"2.25.{name.int}" and len(tracking_uid(name)) <= 64


def test_a_study_that_was_not_analysed_is_never_written_as_absent() -> None:
    with pytest.raises(ValueError, match="no finding"):
        finding_bundle(a_result(analysis=not_analysed("age", "made for children aged 1-5")))
