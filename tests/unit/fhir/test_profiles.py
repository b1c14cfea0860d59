"""What Sightline builds, held to the profiles it publishes."""

import json
from pathlib import Path

import pytest
from fhir.resources.R4B.structuredefinition import StructureDefinition
from fhir.resources.R4B.valueset import ValueSet

from cds_service.fhir.finding_resources import Json, finding_bundle
from tests.builders import a_finding, a_result, an_analysis

PROFILES = Path(__file__).resolve().parents[3] / "fhir_profiles"


def _load(name: str) -> Json:
    return json.loads((PROFILES / name).read_text())


def _observation(present: bool | None) -> Json:
    result = a_result(analysis=an_analysis(findings=(a_finding(present=present),)))
    return next(
        entry["resource"]
        for entry in finding_bundle(result)["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    )


def _count(resource: Json, path: str) -> int:
    value = resource
    for name in path.split(".")[1:]:
        found = value.get("valueCodeableConcept" if name == "value[x]" else name)
        if found is None:
            return 0
        value = found
    return len(value) if isinstance(value, list) else 1


def test_each_published_file_is_a_valid_resource() -> None:
    models = {"StructureDefinition": StructureDefinition, "ValueSet": ValueSet}
    files = sorted(PROFILES.glob("*.json"))

    for file in files:
        models[file.name.partition("-")[0]].model_validate(_load(file.name))

    assert len(files) >= 2


@pytest.mark.parametrize("present", [True, False, None])
def test_every_observation_fills_what_the_profile_requires(present: bool | None) -> None:
    profile = _load("StructureDefinition-sightline-finding.json")
    observation = _observation(present)

    for element in profile["differential"]["element"]:
        assert _count(observation, element["path"]) >= element["min"], element["path"]


def test_every_value_is_of_the_published_value_set() -> None:
    concepts = _load("ValueSet-sightline-finding-value.json")["compose"]["include"][0]["concept"]

    values = {
        _observation(present)["valueCodeableConcept"]["coding"][0]["code"]
        for present in (True, False, None)
    }

    assert values == {concept["code"] for concept in concepts}
