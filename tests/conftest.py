"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A test that is slow on a busy machine is not wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real radiographs, DICOM, FHIR and CDS Hooks files, read in place."""
    folder = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPOSITORY / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("no shared data here: set SIGHTLINE_SHARED_DATA to its folder")
    return folder.resolve()
