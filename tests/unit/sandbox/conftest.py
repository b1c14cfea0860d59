"""A sandbox EHR with two patients, and clients that may talk to it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.parts import EXTENSION, Sandbox
from cds_service.sandbox.signing_keys import SigningKeys
from tests.unit.sandbox.clients import App, Clock, a_config, a_patient, a_study, an_observation


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's keys, made once: an RSA key takes a while."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    SigningKeys(path)
    return path


@pytest.fixture
def flask_app(tmp_path: Path, clock: Clock, keys_file: Path) -> Iterator[Flask]:
    """The sandbox with patients p1 and p2, a study and an Observation of each."""
    shutil.copy(keys_file, tmp_path)
    app = create_sandbox(a_config(tmp_path, clock))
    parts: Sandbox = app.extensions[EXTENSION]
    with parts.fhir.all_or_nothing():
        parts.fhir.update({"resourceType": "Practitioner", "id": "clinician"})
        for patient in ("p1", "p2"):
            parts.fhir.update(a_patient(patient))
            parts.fhir.update(a_study(patient))
            parts.fhir.update(an_observation(patient))
    yield app
    parts.fhir.close()
    parts.archive.close()


@pytest.fixture
def parts(flask_app: Flask) -> Sandbox:
    found: Sandbox = flask_app.extensions[EXTENSION]
    return found


@pytest.fixture
def http(flask_app: Flask) -> FlaskClient:
    return flask_app.test_client()


@pytest.fixture
def app(parts: Sandbox, http: FlaskClient, clock: Clock) -> App:
    """The client "app", registered with an inline key for everything a client may be granted."""
    return App.registered(parts, http, clock)
