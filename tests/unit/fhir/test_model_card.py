"""The model's card as FHIR R4 and as CHAI's format.

Source: HL7 AI Transparency on FHIR 1.0.0-ballot; CHAI mc-schema v0.2.
"""

import json
from base64 import b64decode
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from cds_service.adapters.model_sheets import sheet_of
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.domain.model_sheet import ModelSheet
from cds_service.fhir.chai_card import NAMESPACE, chai_card
from cds_service.fhir.finding_resources import AI_TRANSPARENCY, references_in
from cds_service.fhir.model_card import model_bundle, model_device, model_document
from cds_service.sandbox.fhir_validation import validate

PAGE = "https://ai.example.org/app/models/cxr_pneumonia_peds"
BASE = "https://ai.example.org/fhir"
CHAI = {"chai": NAMESPACE}
# The order of the schema's elements: a reader that validates refuses any other.
CHAI_ORDER = {
    ".": "BasicInfo ReleaseInfo ModelSummary UsesAndDirections Warnings TrustIngredients KeyMetrics"
    " Resources Bibliography",
    "chai:BasicInfo": "ModelName ModelDeveloper DeveloperContact",
    "chai:UsesAndDirections": "IntendedUseAndWorkflow PrimaryIntendedUsers HowToUse"
    " TargetedPatientPopulation CautionedOutOfScopeSettings",
    "chai:Warnings": "KnownRisksAndLimitations KnownBiasesOrEthicalConsiderations"
    " ClinicalRiskLevel",
    "chai:KeyMetrics": "UsefulnessUsabilityEfficacy FairnessEquity SafetyReliability",
    "chai:KeyMetrics/chai:FairnessEquity": "MetricGoal Results Interpretation TestType"
    " TestingDataDescription ValidationProcessAndJustification",
}


@pytest.fixture(scope="module")
def sheet() -> ModelSheet:
    return sheet_of(ModelShelf(None, "cxr_pneumonia_peds"), "cxr_pneumonia_peds")


def test_each_resource_of_the_bundle_is_valid_and_refers_to_the_others_only(
    sheet: ModelSheet,
) -> None:
    bundle = model_bundle(sheet, page_url=PAGE, fhir_base=BASE)

    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds == ["Device", "DocumentReference", "Provenance"]
    for entry in bundle["entry"]:
        resource = entry["resource"]
        validate(resource)  # fhir.resources, required bindings and the rules of FHIR's JSON
    assert {f"{BASE}/{one['reference']}" for one in references_in(bundle)} <= urls


def test_the_device_is_the_one_that_results_name_and_points_at_its_card(sheet: ModelSheet) -> None:
    device = model_device(sheet, page_url=PAGE)

    kind, card = device["extension"]
    assert device["type"]["coding"] == [
        {
            "system": f"{AI_TRANSPARENCY}/CodeSystem/AIdeviceTypeCS",
            "code": "Artificial-Intelligence",
        }
    ]
    assert kind["valueCodeableConcept"]["coding"][0]["code"] == "Deep-Learning-Models"
    assert card["valueReference"]["reference"] == f"DocumentReference/{device['id']}"
    assert device["url"] == PAGE and sheet.identity.digest in json.dumps(device)


def test_the_document_carries_the_card_in_the_format_that_its_category_names(
    sheet: ModelSheet,
) -> None:
    document = model_document(sheet, page_url=PAGE)

    attached, page = (one["attachment"] for one in document["content"])
    assert document["category"][0]["coding"][0]["code"] == "AImodelCardCHAIformat"
    assert attached["contentType"] == "application/xml" and page["url"] == PAGE
    assert b64decode(attached["data"]) == chai_card(sheet, page_url=PAGE)


def test_without_a_release_date_nothing_is_said_about_when_the_card_was_made(
    sheet: ModelSheet,
) -> None:
    bundle = model_bundle(replace(sheet, facts={}), page_url=PAGE, fhir_base=BASE)

    assert [one["resource"]["resourceType"] for one in bundle["entry"]] == [
        "Device",
        "DocumentReference",
    ]


@pytest.mark.parametrize("place", CHAI_ORDER)
def test_chai_elements_come_in_the_order_of_its_schema(sheet: ModelSheet, place: str) -> None:
    root = ElementTree.fromstring(chai_card(sheet, page_url=PAGE))

    found = root.find(place, CHAI)
    assert found is not None
    assert [one.tag for one in found] == [f"{{{NAMESPACE}}}{n}" for n in CHAI_ORDER[place].split()]


def test_chai_metrics_have_the_intervals_and_say_what_is_not_measured(sheet: ModelSheet) -> None:
    root = ElementTree.fromstring(chai_card(sheet, page_url=PAGE))

    def values(group: str) -> dict[str, object]:
        results = root.findall(f"chai:KeyMetrics/chai:{group}/chai:Results/chai:MetricResult", CHAI)
        return {
            str(one.findtext("chai:Label", None, CHAI)): json.loads(
                one.findtext("chai:ValueJson", "", CHAI)
            )
            for one in results
        }

    auc = values("UsefulnessUsabilityEfficacy")["AUC"]
    assert isinstance(auc, dict) and auc["kind"] == "estimate_ci" and auc["level"] == 95
    assert values("FairnessEquity") == {"Not measured": None}


def test_a_hostile_text_of_a_foreign_package_stays_text(sheet: ModelSheet) -> None:
    hostile = replace(sheet, developer="</ModelDeveloper><script>1</script>")

    root = ElementTree.fromstring(chai_card(hostile, page_url=PAGE))

    assert root.findtext("chai:BasicInfo/chai:ModelDeveloper", None, CHAI) == hostile.developer
