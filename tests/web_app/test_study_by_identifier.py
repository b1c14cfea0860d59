"""A launch whose fhirContext names its study by an identifier, as SMART 2.2 lets it."""

from typing import Any

import pytest

from cds_service.domain.tenant import Tenant
from cds_service.sandbox.parts import Sandbox
from cds_service.usecases.ports import EhrRecord, Resource
from tests.builders import a_result
from tests.web_app.house import Browser, House, a_fhir_study
from tests.web_app.test_launch_context import day_of

SYSTEM, OLDER = "urn:dicom:uid", "1.2.840.99999.11"


@pytest.fixture(autouse=True)
def an_older_study(sandbox: Sandbox) -> None:
    """Give patient p-1 a second study, which is not the newest."""
    older = a_fhir_study("s-older", "p-1", OLDER) | {"started": "2025-03-04T08:30:00Z"}
    older["identifier"].append({"system": "urn:example:accession", "value": "A-7"})
    sandbox.fhir.update(older)


@pytest.fixture(autouse=True)
def with_results(house: House) -> None:
    house.keep(a_result())


def named(sandbox: Sandbox, **identifier: str) -> str:
    """Launch p-1's chart about the study with this identifier."""
    context = [{"type": "ImagingStudy", "identifier": identifier}]
    return sandbox.authorization.new_launch("p-1", "Practitioner/clinician", fhir_context=context)


@pytest.mark.parametrize(
    "identifier",
    [
        {"system": SYSTEM, "value": f"urn:oid:{OLDER}"},
        {"system": "urn:example:accession", "value": "A-7"},
        {"value": "A-7"},
    ],
)
def test_the_page_is_about_the_study_that_is_named(
    browser: Browser, sandbox: Sandbox, tenant: Tenant, identifier: dict[str, str]
) -> None:
    page = browser.get(browser.open(tenant.fhir_base, named(sandbox, **identifier)))

    assert day_of(page.text) == "2025-03-04"


@pytest.mark.parametrize("value", ["urn:oid:1.2.840.99999.2", "urn:oid:9.9.9"])
def test_a_study_that_this_patient_does_not_have_is_a_hard_stop(
    browser: Browser, sandbox: Sandbox, tenant: Tenant, value: str
) -> None:
    page = browser.get(browser.open(tenant.fhir_base, named(sandbox, system=SYSTEM, value=value)))

    assert page.status_code == 404


def test_an_ehr_that_ignores_the_parameter_does_not_change_the_study(
    browser: Browser, house: House, sandbox: Sandbox, tenant: Tenant
) -> None:
    house.swap(ehr=Ignoring(house.ehr))

    found = browser.get(
        browser.open(tenant.fhir_base, named(sandbox, system=SYSTEM, value=f"urn:oid:{OLDER}"))
    )
    other = browser.get(
        browser.open(tenant.fhir_base, named(sandbox, system=SYSTEM, value="urn:oid:9.9.9"))
    )

    assert day_of(found.text) == "2025-03-04" and other.status_code == 404


class Ignoring:
    """An EHR that does not know the search parameter `identifier`."""

    def __init__(self, record: EhrRecord) -> None:
        self._record = record

    def read(self, tenant: Tenant, path: str, **options: Any) -> Resource:
        return self._record.read(tenant, path.partition("&identifier=")[0], **options)
