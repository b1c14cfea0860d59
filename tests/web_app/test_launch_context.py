"""A card's context that came in the launch address, sealed, from an EHR without appContext."""

import re
from datetime import UTC, datetime

import pytest

from cds_service.adapters.vault import Vault
from cds_service.domain.tenant import Tenant
from cds_service.usecases.seal_context import seal_context
from tests.builders import a_result
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House


def day_of(page: str) -> str:
    """The day of the study that the page is about."""
    found = re.search(r'<h1>[^<]*<time datetime="([0-9-]+)"', page)
    assert found
    return found[1]


def test_a_card_s_context_in_the_address_survives_the_sign_in(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    started = datetime(2025, 11, 3, 8, 0, tzinfo=UTC)
    old = a_result(id="r-old", key="k-2", study_uid="1.2.840.99999.7", study_started=started)
    house.keep(a_result(), old)
    context = '{"study":"1.2.840.99999.7","job":null,"result":"r-old"}'
    ctx = seal_context(tenant.id, context, vault=Vault(b"k" * 32))

    newest = browser.get(browser.open(tenant.fhir_base, launch_of("p-1")))
    page = browser.get(browser.open(tenant.fhir_base, launch_of("p-1"), ctx=ctx))

    assert (day_of(newest.text), day_of(page.text)) == ("2026-01-02", "2025-11-03")


@pytest.mark.parametrize("ctx", ["forged", "", "é", "A" * 3000])
def test_a_context_that_we_have_not_sealed_is_ignored(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, ctx: str
) -> None:
    house.keep(a_result())

    page = browser.get(browser.open(tenant.fhir_base, launch_of("p-1"), ctx=ctx))

    assert page.status_code == 200 and day_of(page.text) == "2026-01-02"


def test_t9_a_sealed_context_of_another_patient_s_study_opens_nothing(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(a_result(id="r-other", patient_id="p-2", study_uid="1.2.840.99999.2"))
    ctx = seal_context(tenant.id, '{"result":"r-other"}', vault=Vault(b"k" * 32))

    page = browser.get(browser.open(tenant.fhir_base, launch_of("p-1"), ctx=ctx))

    assert page.status_code == 404
