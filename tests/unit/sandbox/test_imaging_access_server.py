"""SMART Imaging Access in the sandbox: which studies a token is told of, and their images."""

import pytest
from flask.testing import FlaskClient

from cds_service.fhir.imaging_access import token_address
from cds_service.sandbox.parts import Sandbox
from tests.unit.sandbox.clients import App, study_uid
from tests.unit.sandbox.test_archive_server import an_instance

P1 = "/imaging/ImagingStudy?patient=p1"
SCOPE = "openid launch patient/ImagingStudy.rs"


def test_the_smart_configuration_names_it(http: FlaskClient, parts: Sandbox) -> None:
    document = http.get("/fhir/.well-known/smart-configuration").json or {}

    assert document["associated_endpoints"] == [
        {"url": parts.config.imaging_base, "capabilities": ["smart-imaging-access"]}
    ]


def test_a_launch_is_told_where_its_patient_s_images_are(
    http: FlaskClient, app: App, parts: Sandbox
) -> None:
    parts.archive.store(an_instance("p1"))

    answer = http.get(P1, headers=app.launched(SCOPE)).json or {}

    assert answer["total"] == 1
    assert token_address(answer, study_uid("p1"), "t-1", "p1") == parts.config.archive_base


def test_a_study_without_images_has_no_address(http: FlaskClient, app: App) -> None:
    answer = http.get(P1, headers=app.launched(SCOPE)).json or {}

    assert answer["total"] == 1 and token_address(answer, study_uid("p1"), "t-1", "p1") is None


@pytest.mark.parametrize(
    ("path", "scope", "status"),
    [
        ("/imaging/ImagingStudy?patient=p2", SCOPE, 403),
        (P1, "openid launch patient/Patient.rs", 403),
        ("/imaging/ImagingStudy", SCOPE, 400),
        ("/imaging/Patient", SCOPE, 404),
    ],
    ids=["another patient", "no scope", "no patient", "another type"],
)
def test_nothing_else_is_told(
    http: FlaskClient, app: App, path: str, scope: str, status: int
) -> None:
    answer = http.get(path, headers=app.launched(scope))

    assert answer.status_code == status
    assert (answer.json or {})["resourceType"] == "OperationOutcome"


def test_without_a_token_nothing_is_told(http: FlaskClient) -> None:
    assert http.get(P1).status_code == 401
