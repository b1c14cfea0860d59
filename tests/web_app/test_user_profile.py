"""The user's own record: its languages, and the roles that a site's rule names."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrTimedOut
from cds_service.sandbox import authorization
from cds_service.sandbox.parts import Sandbox
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import (
    PUBLIC_URL,
    Browser,
    House,
    a_radiograph,
    a_seen_result,
    register_app,
)

USER = "Practitioner/linguist"


@pytest.fixture
def user(sandbox: Sandbox) -> str:
    """A clinician whose record says German, and who has one role."""
    _keep(sandbox, "de-CH")
    sandbox.fhir.update(
        {
            "resourceType": "PractitionerRole",
            "id": "reader",
            "practitioner": {"reference": USER},
        }
    )
    return USER


@pytest.fixture
def narrow_client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An EHR that grants nothing about its users."""
    words = authorization.SIGHTLINE_SCOPES.split()
    narrow = " ".join(word for word in words if "/Practitioner" not in word)
    with monkeypatch.context() as patch:
        patch.setattr("tests.web_app.house.SIGHTLINE_SCOPES", narrow)
        register_app(sandbox, PUBLIC_URL)
    yield
    register_app(sandbox, PUBLIC_URL)


def _keep(sandbox: Sandbox, *tags: str) -> None:
    spoken = [{"coding": [{"system": "urn:ietf:bcp:47", "code": tag}]} for tag in tags]
    record: dict[str, Any] = {
        "resourceType": "Practitioner",
        "id": USER.partition("/")[2],
        "name": [{"text": "Dr. L"}],
        "communication": spoken,
    }
    sandbox.fhir.update(record)


def _change(house: House, tenant: Tenant, **changes: Any) -> None:
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, **changes))


@pytest.mark.requirement("@195", "@196", "@202")
def test_a_page_is_in_the_language_of_the_user_s_record(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    _change(house, tenant, language="pl")  # the person counts before the site

    page = browser.get(browser.open(tenant.fhir_base, launch_of(user=user)))

    assert '<html lang="de"' in page.text


def test_the_first_language_that_sightline_speaks_is_the_one(
    browser: Browser, sandbox: Sandbox, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    _keep(sandbox, "nl", "ko")

    page = browser.get(browser.open(tenant.fhir_base, launch_of(user=user)))

    assert '<html lang="ko"' in page.text


def test_what_the_launch_says_counts_before_the_record(
    browser: Browser, sandbox: Sandbox, tenant: Tenant, user: str
) -> None:
    launch = sandbox.authorization.new_launch("p-1", user, extra={"locale": "fr"})

    page = browser.get(browser.open(tenant.fhir_base, launch))

    assert '<html lang="fr"' in page.text


@pytest.mark.usefixtures("narrow_client")
def test_a_record_that_may_not_be_read_is_no_reason_to_stop(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    _change(house, tenant, language="pl")

    page = browser.get(browser.open(tenant.fhir_base, launch_of(user=user)))

    assert page.status_code == 200 and '<html lang="pl"' in page.text


def test_a_record_that_does_not_come_is_no_reason_to_stop(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    class Late:
        """The EHR, slow with the records of its users."""

        def __init__(self, ehr: Any) -> None:
            self._ehr = ehr

        def read(self, tenant: Tenant, path: str, **how: Any) -> Any:
            if path.startswith("Practitioner"):
                raise EhrTimedOut("The EHR gave no answer in time.")
            return self._ehr.read(tenant, path, **how)

    house.swap(ehr=Late(house.ehr))

    page = browser.get(browser.open(tenant.fhir_base, launch_of(user=user)))

    assert page.status_code == 200 and '<html lang="en"' in page.text


def test_a_rule_for_a_role_lets_its_holder_review(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    house.keep(a_seen_result(a_radiograph()))
    _change(house, tenant, reviewers=("PractitionerRole/reader",))

    reader = browser.get(browser.open(tenant.fhir_base, launch_of(user=user))).text
    other = house.browser()
    page = other.get(other.open(tenant.fhir_base, launch_of())).text

    asked = 'value="agree"'
    assert asked in reader and asked not in page


def test_a_rule_for_a_role_opens_the_app_for_its_holder_alone(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    _change(house, tenant, app_users=("PractitionerRole/reader",))

    assert browser.get(browser.open(tenant.fhir_base, launch_of(user=user))).status_code == 200
    refused = browser.get(browser.to_callback(tenant.fhir_base, launch_of()))
    assert refused.status_code == 403


@pytest.mark.requirement("@147")
@pytest.mark.usefixtures("narrow_client")
def test_a_role_that_may_not_be_read_is_not_had(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    _change(house, tenant, app_users=("PractitionerRole/reader",))

    refused = browser.get(browser.to_callback(tenant.fhir_base, launch_of(user=user)))

    assert refused.status_code == 403


def test_a_user_who_is_named_by_a_role_speaks_as_its_practitioner(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, user: str
) -> None:
    _change(house, tenant, app_users=("PractitionerRole/reader",))

    page = browser.get(browser.open(tenant.fhir_base, launch_of(user="PractitionerRole/reader")))

    assert '<html lang="de"' in page.text
