"""The OpenAPI document that the service publishes, and the service tested against it."""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from cds_service.web.openapi import document
from tests.fuzz.installed import FHIR_BASE, Installed
from tests.unit.cards.builders import PUBLIC_URL
from tests.web.ehr_client import a_hook_body
from tests.web.linted import as_described

pytestmark = pytest.mark.slow
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]


DESCRIBED = document(PUBLIC_URL)
OPERATIONS = [
    (path, method)
    for path, operations in DESCRIBED["paths"].items()
    for method in operations
    if method != "parameters"
]
fuzzing = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
BOTH_WAYS = {"post": list(GenerationMode), "get": [GenerationMode.POSITIVE]}
# U+0000 is refused as no text before anything else is looked at.
CONFIG = schemathesis.Config.from_dict({"generation": {"allow-x00": False, "codec": "utf-8"}})


@pytest.fixture(scope="module")
def described(service: Installed) -> BaseSchema:
    return schemathesis.openapi.from_wsgi("/openapi.json", service.app, config=CONFIG)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_described(
    service: Installed, described: BaseSchema, path: str, method: str
) -> None:
    def check(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and "fhirServer" in case.body:
            case.body["fhirServer"] = FHIR_BASE  # the document cannot know which is registered
        token = service.token(case.formatted_path)
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

    for mode in BOTH_WAYS[method]:
        cases = described[path][method].as_strategy(generation_mode=mode)
        fuzzing(given(case=cases)(check))()


@pytest.mark.parametrize("kind", ["Discovery", "HookResponse", "OperationOutcome"])
def test_a_field_that_is_not_described_is_found(kind: str, service: Installed) -> None:
    """What we answer is described to the last field, so that the test above can fail."""
    answers = {
        "Discovery": service.client.get("/cds-services"),
        "HookResponse": service.post(a_hook_body()),
        "OperationOutcome": service.post({}),
    }
    validator = as_described(kind)

    assert validator.is_valid(answers[kind].json)
    assert not validator.is_valid({**answers[kind].json, "more": 1})
    for name, value in answers[kind].json.items():
        if isinstance(value, list):
            assert not validator.is_valid({**answers[kind].json, name: [{**value[0], "more": 1}]})


def test_the_document_names_our_services_and_address(service: Installed) -> None:
    published = service.client.get("/openapi.json").json

    assert published == DESCRIBED
    assert published["servers"] == [{"url": PUBLIC_URL}]
    (parameter,) = published["paths"]["/cds-services/{service_id}"]["parameters"]
    listed = {one["id"] for one in service.client.get("/cds-services").json["services"]}
    assert set(parameter["schema"]["enum"]) == listed


def test_every_address_of_the_hook_service_is_described(service: Installed) -> None:
    routes = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in service.app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] in {"hooks", "fhir_api", "health"}
    }

    described_paths = {path.replace("{id}", "{logical_id}") for path in DESCRIBED["paths"]}
    assert routes - {"/fhir/{_anything}"} == described_paths
