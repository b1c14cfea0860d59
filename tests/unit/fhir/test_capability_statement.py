"""What a FHIR server says that it can do, however little or wrongly it says it."""

from typing import Any

import pytest

from cds_service.fhir.capability_statement import capabilities_in, takes_transactions


def a_statement(**changes: Any) -> dict[str, Any]:
    resource = {"type": "Observation", "interaction": [{"code": "create"}, {"code": "read"}]}
    rest = {"mode": "server", "resource": [resource], "interaction": [{"code": "transaction"}]}
    values = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}
    return values | changes


def test_a_statement_says_version_types_and_interactions() -> None:
    found = capabilities_in(a_statement())

    assert found is not None and found.is_r4 and found.takes_transactions
    assert found.offers("Observation", "create") and not found.offers("Observation", "update")
    assert not found.offers("ImagingStudy", "search-type")


def test_a_type_that_states_no_interaction_may_offer_any() -> None:
    found = capabilities_in(a_statement(rest=[{"resource": [{"type": "Observation"}]}]))

    assert found is not None and found.offers("Observation", "update")
    assert not found.takes_transactions


@pytest.mark.parametrize("version", ["3.0.2", "4.3.0", "5.0.0", "4.0.x", None, {"a": 1}])
def test_another_version_is_not_r4(version: object) -> None:
    found = capabilities_in(a_statement(fhirVersion=version))

    assert found is not None and not found.is_r4


@pytest.mark.parametrize("other", [{}, {"resourceType": "OperationOutcome"}])
def test_another_resource_is_no_statement(other: dict[str, Any]) -> None:
    assert capabilities_in(other) is None


@pytest.mark.parametrize("rest", [None, "x", [None], [{"resource": "x", "interaction": 1}]])
def test_nonsense_offers_nothing(rest: object) -> None:
    found = capabilities_in(a_statement(rest=rest))

    assert found is not None and not found.offers("Observation", "read")
    assert not takes_transactions(a_statement(rest=rest))
