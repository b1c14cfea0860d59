"""An EHR of other people's parts: HAPI FHIR is the record, Orthanc the archive.

`sightline ehr add` registers it with a running demo. The test plays the EHR's front end: it signs
hook calls with its own key, and starts launches at the authorization server.

Source: CDS Hooks 2.0 "Trusting CDS Clients", "FHIR Authorization"; SMART App Launch 2.2.
"""

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pydicom
import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey
from PIL import Image, ImageStat
from playwright.sync_api import Page, expect
from pydicom.uid import generate_uid

from cds_service.sandbox import records
from cds_service.sandbox.patients import PATIENTS, PatientRow, Picture
from cds_service.sandbox.radiographs import Pictures, instances
from cds_service.sandbox.seed import PICTURES
from tests.e2e.running_demo import Demo, until
from tests.real.pages import DECODED_WIDTH
from tests.real.sandbox import LiveSandbox, live_sandbox
from tests.real.servers import Orthanc, free_port, hapi, orthanc

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]

Json = dict[str, Any]
NAME = "Third-party hospital"
ISSUER = "https://ehr.example.org"
FOUND = re.compile(r"Chest X-ray .*: signs of pneumonia \(AI score >?0\.\d\d, threshold 0\.\d\d\)")
OURS = ("Patient", "Practitioner", "Endpoint", "ImagingStudy")  # what this HAPI stores of a chart
TODAY = datetime.now(UTC).date


@dataclass(frozen=True)
class Hospital:
    """HAPI, Orthanc and an authorization server, registered with the demo's service."""

    demo: Demo
    fhir: str
    archive: Orthanc
    sandbox: LiveSandbox
    key: ECKey

    # --- the record and the archive -----------------------------------------------------------

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call HAPI as the hospital's own backend."""
        answer = requests.request(
            method,
            f"{self.fhir}/{path}",
            json=body,
            headers={
                "Authorization": f"Bearer {self.sandbox.token()}",
                "Content-Type": "application/fhir+json",
            },
            timeout=120,
        )
        assert answer.ok, answer.text
        return dict(answer.json())

    def admit(self, picture: Picture) -> PatientRow:
        """Add a child of three with one chest X-ray."""
        mark = uuid.uuid4().hex[:8]
        study = replace(PATIENTS[0].studies[0], accession=f"H-{mark}", picture=picture)
        person = replace(PATIENTS[0].person, mrn=f"H-{mark}")
        row = replace(PATIENTS[0], id=f"h-{mark}", person=person, studies=(study,))
        self.archive.upload(*instances(row, study, Pictures.in_folder(PICTURES), TODAY()))
        config = self.sandbox.parts.config
        for resource in records.house(config) + records.chart(row, config, TODAY()):
            if resource["resourceType"] == "Endpoint":
                resource["address"] = self.archive.dicom_web
            if resource["resourceType"] in OURS:
                self.call("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
        return row

    def add_image(self, row: PatientRow, picture: Picture) -> None:
        """Let a second image of the same study arrive."""
        [study] = row.studies
        [file] = instances(
            row, replace(study, picture=picture), Pictures.in_folder(PICTURES), TODAY()
        )
        image = pydicom.dcmread(BytesIO(file))
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.InstanceNumber = 2
        buffer = BytesIO()
        image.save_as(buffer, enforce_file_format=True)
        self.archive.upload(buffer.getvalue())
        resource = self.imaging_study(row)
        resource["numberOfInstances"] = resource["series"][0]["numberOfInstances"] = 2
        self.call("PUT", f"ImagingStudy/{resource['id']}", resource)

    def imaging_study(self, row: PatientRow) -> Json:
        return self.call("GET", f"ImagingStudy/{row.id}-study-{row.studies[0].accession}")

    def observations(self, row: PatientRow) -> list[Json]:
        bundle = self.call("GET", f"Observation?patient={row.id}")
        return [entry["resource"] for entry in bundle.get("entry", [])]

    # --- the front end ------------------------------------------------------------------------

    def open_chart(self, row: PatientRow, **more: Any) -> list[Json]:
        """Call patient-view, signed for this one call; return the cards."""
        url = f"{self.demo.addresses['service']}/cds-services/imaging-ai-findings"
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": url, "iat": now, "exp": now + 60, "jti": uuid.uuid4().hex}
        header = {"alg": "ES384", "typ": "JWT", "kid": self.key.thumbprint()}
        token = jwt.encode(header, claims, self.key, algorithms=["ES384"])
        call = {
            "hook": "patient-view",
            "hookInstance": str(uuid.uuid4()),
            "fhirServer": self.fhir,
            "context": {"userId": "Practitioner/clinician", "patientId": row.id},
            **more,
        }
        answer = requests.post(
            url, json=call, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return list(answer.json()["cards"])

    def prefetch(self, row: PatientRow) -> Json:
        studies = self.call("GET", f"ImagingStudy?patient={row.id}")
        return {"patient": self.call("GET", f"Patient/{row.id}"), "studies": studies}

    def launch(self, row: PatientRow, card: Json) -> str:
        """Start a launch from a card's link; return the address that the browser opens."""
        [link] = card["links"]
        launch = self.sandbox.parts.authorization.new_launch(
            row.id, "Practitioner/clinician", app_context=link["appContext"]
        )
        return f"{link['url']}?{urlencode({'iss': self.fhir, 'launch': launch})}"


@pytest.fixture(scope="module")
def hospital(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    port = free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    service = demo.addresses["service"]
    with (
        live_sandbox(folder, service=service, further_audiences=(base,)) as sandbox,
        hapi(
            folder,
            introspection=f"{sandbox.parts.config.auth_base}/introspect",
            issuer=sandbox.parts.config.auth_base,
            authorize=f"{sandbox.parts.config.auth_base}/authorize",
            token=sandbox.parts.authorization.token_url,
            jwks=f"{sandbox.parts.config.auth_base}/jwks.json",
            port=port,
        ) as fhir,
        orthanc(folder, StableAge=1) as archive,
    ):
        assert fhir == base
        key = ECKey.generate_key("P-384")
        _register(demo, folder, fhir, archive, sandbox, key)
        yield Hospital(demo, fhir, archive, sandbox, key)
        _ehr("remove", NAME, "--data", str(demo.data))  # the demo is every module's


def _register(
    demo: Demo, folder: Path, fhir: str, archive: Orthanc, sandbox: LiveSandbox, key: ECKey
) -> None:
    pinned = folder / "hooks.jwks.json"
    public = {**key.as_dict(private=False), "kid": key.thumbprint()}
    pinned.write_text(json.dumps({"keys": [public]}))
    options = {
        "name": NAME,
        "fhir-base": fhir,
        "issuer": ISSUER,
        "jwks": str(pinned),
        # Names the authorization server's origin, which no other address here does.
        "jku": f"{sandbox.parts.config.auth_base}/jwks.json",
        "client-id": "sightline",
        "archive": archive.dicom_web,
        "data": str(demo.data),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    _ehr("add", *words)


def _ehr(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "cds_service.cli", "ehr", *words], check=True)


def found(cards: list[Json]) -> Json | None:
    return next((card for card in cards if FOUND.fullmatch(card["summary"])), None)


def value_of(observations: list[Json]) -> str | None:
    """Return what the only Observation says; None when there is none yet."""
    return observations[0]["valueCodeableConcept"]["text"] if len(observations) == 1 else None


def test_a_hook_with_prefetch_ends_in_a_card_and_one_observation(hospital: Hospital) -> None:
    row = hospital.admit(Picture.PRESENT)
    prefetch = hospital.prefetch(row)

    [first] = hospital.open_chart(row, prefetch=prefetch)
    card = until(lambda: found(hospital.open_chart(row, prefetch=prefetch)))

    assert "AI analysis" in first["summary"] or FOUND.fullmatch(first["summary"])
    assert card["indicator"] == "warning"
    [observation] = until(lambda: hospital.observations(row))
    assert observation["status"] == "preliminary"
    assert observation["subject"]["reference"] == f"Patient/{row.id}"
    name = observation["identifier"][0]
    by_name = hospital.call("GET", f"Observation?identifier={name['system']}|{name['value']}")
    assert by_name["total"] == 1


def test_a_hook_without_prefetch_reads_the_record_with_the_hook_s_own_token(
    hospital: Hospital,
) -> None:
    row = hospital.admit(Picture.PRESENT)

    def ask() -> Json | None:
        lent = hospital.sandbox.parts.authorization.issue_hook_token(row.id)
        return found(hospital.open_chart(row, fhirAuthorization=lent))

    assert until(ask)["source"]["topic"]["code"] == "233604007"


def test_new_images_update_the_observation_instead_of_adding_one(hospital: Hospital) -> None:
    row = hospital.admit(Picture.ABSENT)
    hospital.open_chart(row, prefetch=hospital.prefetch(row))
    assert until(lambda: value_of(hospital.observations(row))) == "Absent"
    [before] = hospital.observations(row)

    hospital.add_image(row, Picture.PRESENT)
    hospital.open_chart(row, prefetch=hospital.prefetch(row))

    until(lambda: value_of(hospital.observations(row)) == "Present")
    [after] = hospital.observations(row)
    assert after["id"] == before["id"] and after["identifier"] == before["identifier"]
    assert found(hospital.open_chart(row, prefetch=hospital.prefetch(row)))


def test_the_app_shows_the_image_that_orthanc_keeps(hospital: Hospital, page: Page) -> None:
    row = hospital.admit(Picture.PRESENT)
    prefetch = hospital.prefetch(row)
    card = until(lambda: found(hospital.open_chart(row, prefetch=prefetch)))

    page.goto(hospital.launch(row, card))

    expect(page.locator(".stage")).to_have_attribute("data-picture", "shown")
    expect(page.locator(".patient .name")).to_have_text("Sampleton, Otto")
    expect(page.locator(".finding")).to_contain_text("signs of pneumonia")
    assert page.locator("img.outline").evaluate(DECODED_WIDTH) > 0
    seen = Image.open(BytesIO(page.locator(".stack").screenshot())).convert("L")
    assert ImageStat.Stat(seen).stddev[0] > 30  # of 256 grey levels
    page.get_by_text("Disagree…").click()
    page.get_by_label("Artefact").check()
    page.get_by_role("button", name="Save: disagree").click()
    expect(page.locator(".standing")).to_contain_text("in the chart as entered in error")
    [observation] = hospital.observations(row)
    assert observation["status"] == "entered-in-error"
