"""Every kind of FHIR resource that Sightline makes, held to R4 and our profile by HAPI's validator.

The validator's libraries come with HAPI's JPA server; Java runs `fhir_validator/Validate.java` from
its source.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cds_service.adapters.model_sheets import sheet_of
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.domain.finding import Box, Coding
from cds_service.domain.review import Reason, Review, Verdict
from cds_service.fhir.finding_resources import Json, finding_bundle
from cds_service.fhir.model_card import model_bundle
from cds_service.fhir.subscription import rest_hook
from cds_service.fhir.suggested_resources import acknowledgement, radiology_review
from cds_service.fhir.verified_resources import verified_bundle
from tests.builders import NOW, PNEUMONIA, a_finding, a_result, an_analysis
from tests.fuzz.installed import installed
from tests.real.servers import HAPI_JPA_JAR, require

# One run of the validator for both tests.
pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("fhir-validator")]

PROFILES = Path(__file__).resolve().parents[2] / "fhir_profiles"
VALIDATE = Path(__file__).parent / "fhir_validator" / "Validate.java"
TIMEOUT_S = 900  # it ends a validator that hangs, and says nothing about speed
HERE = "https://ai.example.org"
# HL7 added the code after R4, whose own copy of the code system is what is looked at.
NEWER_THAN_R4 = "Unknown code 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue#AIAST'"

Fault = tuple[str, str, str]  # name of the resource, place, message


def emitted(folder: Path) -> Iterator[Json]:
    """Yield what Sightline writes, suggests, asks for and answers."""
    site = Coding("http://snomed.info/sct", "51185008", "Thoracic structure")
    for present in (True, False, None):
        finding = a_finding(present=present, body_site=site)
        yield finding_bundle(a_result(analysis=an_analysis(findings=(finding,))))
    yield finding_bundle(replace(a_result(), imaging_study_id=None, study_started=None))
    for verdict in Verdict:
        yield verified_bundle(a_result(), [said(verdict)])
    sheet = sheet_of(ModelShelf(None, "cxr_pneumonia_peds"), "cxr_pneumonia_peds")
    yield model_bundle(sheet, page_url=f"{HERE}/app/models/m", fhir_base=f"{HERE}/fhir")
    yield rest_hook(f"{HERE}/intake/subscription/secret", "Bearer secret")
    who = {"user": "Practitioner/1", "encounter": "e-1"}
    yield acknowledgement(a_result(), "Seen.", **who)
    yield radiology_review(a_result(), "Please read.", **who, is_urgent=True)
    with installed(folder) as house:
        for path in ("/fhir/metadata", "/fhir/Patient/1"):
            yield house.client.get(path).get_json(force=True)


def said(verdict: Verdict) -> Review:
    return Review(
        "t-1",
        "r-1",
        PNEUMONIA.code,
        verdict,
        "Practitioner/1",
        NOW,
        reason=Reason.ARTEFACT if verdict is Verdict.DISAGREE else None,
        region=Box(1, 2, 3, 4) if verdict is Verdict.WRONG_PLACE else None,
    )


def parts(document: Json) -> Iterator[Json]:
    """Yield the document, and each resource in it if it is a Bundle."""
    yield document
    for entry in document.get("entry", ()):
        yield entry["resource"]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> list[Fault]:
    """Return what the validator says of all that is emitted, and of two spoiled Observations."""
    require("Java", shutil.which("javac") is not None, "apt-get install openjdk-17-jdk-headless")
    how = "mvn -q -B package -f tests/real/hapi_jpa/pom.xml"
    require("HAPI's validator", (HAPI_JPA_JAR.parent / "lib").is_dir(), how)
    folder, number = tmp_path_factory.mktemp("emitted"), count()
    observations: list[Any] = []
    for document in emitted(tmp_path_factory.mktemp("installed")):
        for resource in parts(document):
            kind = resource["resourceType"]
            (folder / f"{kind}-{next(number)}.json").write_text(json.dumps(resource))
            observations += [resource] if kind == "Observation" else []
    good = observations[0]
    without_device = {name: good[name] for name in good.keys() - {"device"}}
    for name, spoiled in (("status", good | {"status": "bogus"}), ("device", without_device)):
        (folder / f"Observation-{name}-spoiled.json").write_text(json.dumps(spoiled))
    command = ["java", "-Xmx1g", "-cp", f"{HAPI_JPA_JAR.parent}/lib/*", str(VALIDATE)]
    done = subprocess.run(
        [*command, str(PROFILES), str(folder)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (line.split("\t", 2) for line in done.stdout.splitlines())
    return [(name, place, message) for name, place, message in lines]


def test_no_resource_that_we_make_has_an_error(faults: list[Fault]) -> None:
    ours = [fault for fault in faults if "spoiled" not in fault[0]]

    assert [fault for fault in ours if fault[2] != NEWER_THAN_R4] == []


def test_a_status_that_r4_does_not_have_and_a_gap_in_the_profile_are_found(
    faults: list[Fault],
) -> None:
    found = [(name, message) for name, _, message in faults if message != NEWER_THAN_R4]

    assert any("status" in name and "bogus" in message for name, message in found)
    assert any("device" in name and "Observation.device" in message for name, message in found)
