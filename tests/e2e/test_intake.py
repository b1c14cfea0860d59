"""A study comes by a door: Orthanc tells of it, HAPI FHIR says whose it is, nobody opens a chart.

Source: Orthanc Book, "Tracking changes"; FHIR R4 ImagingStudy (search by identifier).
"""

import os
import subprocess
import sys

import pytest

from cds_service.sandbox.patients import Picture
from tests.e2e.running_demo import until
from tests.e2e.test_orthanc_hapi import NAME, Hospital, found
from tests.e2e.test_orthanc_hapi import hospital as hospital

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]


def sightline(hospital: Hospital, *words: str) -> str:
    """Run the command beside the demo; its Redis is nobody's business, so the sweep rings."""
    settings = {
        "SIGHTLINE_PUBLIC_URL": hospital.demo.addresses["service"],
        "SIGHTLINE_DATA": str(hospital.demo.data),
        "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:9/0",
    }
    return subprocess.run(
        [sys.executable, "-m", "cds_service.cli", "intake", *words],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_the_card_is_ready_before_anybody_opens_the_chart(hospital: Hospital) -> None:
    door = ("--ehr", NAME, "orthanc-changes")
    sightline(hospital, "open", *door, "--feed", hospital.archive.base_url)
    sightline(hospital, "run", "--once")  # from now on
    row = hospital.admit(Picture.PRESENT)

    until(lambda: "asked" in sightline(hospital, "run", "--once"))
    [observation] = until(lambda: hospital.observations(row))

    assert observation["subject"]["reference"] == f"Patient/{row.id}"
    prefetch = hospital.prefetch(row)
    [first] = hospital.open_chart(row, prefetch=prefetch)
    assert found([first]) is not None
    assert "open    read 2" in sightline(hospital, "status", "--ehr", NAME)
    sightline(hospital, "close", *door)
    jobs = "SELECT count(*) FROM job WHERE patient_id = ?"
    assert hospital.demo.ledger(jobs, row.id) == [(1,)]  # of the door and the hook
