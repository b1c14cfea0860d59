"""The EHR's colours on our page, and a page without them when they do not come."""

import pytest

from cds_service.domain.tenant import Tenant
from cds_service.sandbox.parts import Sandbox
from tests.builders import a_result
from tests.web_app.house import Browser, House


def opened(browser: Browser, tenant: Tenant, sandbox: Sandbox, **extra: str) -> str:
    launch = sandbox.authorization.new_launch("p-1", "Practitioner/clinician", extra=extra)
    return browser.open(tenant.fhir_base, launch)


def test_the_page_has_the_ehr_s_ground_and_reads_it_once(
    browser: Browser,
    house: House,
    tenant: Tenant,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cds_service.sandbox.auth_server.STYLE", {"color_background": "#fafafa"})
    house.keep(a_result())
    page = opened(browser, tenant, sandbox)

    assert f"{page}style.css" in browser.get(page).text
    first = browser.get(f"{page}style.css")
    visits = house.egress.visits
    again = browser.get(f"{page}style.css")

    assert first.mimetype == "text/css" and "--ground: #fafafa;" in first.text
    assert again.text == first.text and house.egress.visits == visits
    assert first.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("url", ["{base}/nothing-here", "https://evil.example.org/style.json"])
def test_a_style_that_does_not_come_or_is_not_the_ehr_s_changes_nothing(
    browser: Browser, house: House, tenant: Tenant, sandbox: Sandbox, url: str
) -> None:
    house.keep(a_result())
    address = url.format(base=sandbox.config.origin)

    page = opened(browser, tenant, sandbox, smart_style_url=address)

    visits = house.egress.visits
    assert browser.get(page).status_code == 200
    answer = browser.get(f"{page}style.css")
    assert answer.status_code == 200 and answer.text == ""
    assert (house.egress.visits > visits) is address.startswith(sandbox.config.origin)


@pytest.mark.requirement("@193")
@pytest.mark.parametrize("intent", [None, "reconcile-medications", "<script>"])
def test_an_intent_that_we_do_not_know_opens_the_usual_page(
    browser: Browser, house: House, tenant: Tenant, sandbox: Sandbox, intent: str | None
) -> None:
    house.keep(a_result())
    extra = {} if intent is None else {"intent": intent}

    page = browser.get(opened(browser, tenant, sandbox, **extra))

    assert page.status_code == 200 and "Finch" in page.text and "<script>" not in page.text
