"""Opening the app without a chart: from our own page, for a patient or for a user."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from cds_service.domain.tenant import Tenant
from cds_service.sandbox.parts import Sandbox
from smart_app.open_launch import OpenLaunch, within_session
from tests.builders import a_result, a_tenant
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import PUBLIC_URL, Browser, Form, House, query_of


def chosen_at_sign_in(request: str, name: str) -> str:
    """Choose a row of the EHR's page; return the callback's address."""
    page = requests.get(request, timeout=30)
    assert page.status_code == 200, page.text
    button, value = (
        page.text.split(name)[1].split('<button type="submit" name="')[1].split('"')[:3:2]
    )
    form = {key: values[0] for key, values in parse_qs(urlsplit(request).query).items()}
    answer = requests.post(
        request.partition("?")[0], data={**form, button: value}, allow_redirects=False, timeout=30
    )
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def test_our_own_page_names_the_ehrs_that_the_app_can_be_opened_at(
    browser: Browser, house: House, tenant: Tenant
) -> None:
    cards_only = a_tenant(
        id="t-2",
        name="Cards Only",
        fhir_base="https://c.example.org",
        hook_issuer="https://c.example.org",
        client_id=None,
    )
    house.tenants.add(cards_only)

    page = browser.get("/app/")

    assert page.status_code == 200 and tenant.name in page.text and "Cards Only" not in page.text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert house.egress.visits == 0


@pytest.mark.requirement("@36", "@166")
def test_a_patient_chosen_at_sign_in_is_the_patient_of_the_session(
    browser: Browser, house: House, tenant: Tenant
) -> None:
    house.keep(a_result())

    request = browser.handed_over({"iss": tenant.fhir_base})
    opened = browser.get(chosen_at_sign_in(request, "Finch"))
    page = browser.get(opened.location)

    query = query_of(request)
    assert "launch" not in query and query["scope"].split()[0] == "launch/patient"
    assert page.status_code == 200 and "Finch, Ada May" in page.text


@pytest.mark.requirement("@36", "@93")
def test_a_user_s_own_session_has_no_patient_and_opens_no_chart(
    browser: Browser, house: House, tenant: Tenant
) -> None:
    house.keep(a_result())
    seen: list[tuple[str | None, str | None, bool]] = []

    def mine(launch: OpenLaunch) -> str:
        session = launch.session
        seen.append((session.patient, session.fhir_user, session.may("ImagingStudy", "s")))
        return ""

    house.app.add_url_rule("/app/l/<handle>/mine", view_func=within_session(mine))
    request = browser.handed_over({"iss": tenant.fhir_base, "kind": "user"})
    callback = requests.get(request, allow_redirects=False, timeout=30).headers["Location"]
    opened = browser.get(callback)
    own = opened.location.removesuffix("worklist")

    assert opened.status_code == 303 and own != opened.location
    assert browser.get(f"{own}mine").status_code == 200
    assert seen == [(None, "Practitioner/clinician", True)]
    for path in ("", "status", "panel", "r/r-1/233604007/picture"):
        refused = browser.get(f"{own}{path}")
        assert refused.status_code == 404 and "Finch" not in refused.text
    assert "launch" not in query_of(request) and "patient/" not in query_of(request)["scope"]


@pytest.mark.requirement("@50", "@52", "@133")
def test_a_server_that_takes_forms_gets_one_that_sends_itself(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    tested = browser.client.get(
        "/app/launch",
        query_string={"iss": tenant.fhir_base, "launch": launch_of()},
        base_url=PUBLIC_URL,
    )

    page = browser.get(tested.location)

    form = Form.in_page(page.text)
    policy = page.headers["Content-Security-Policy"]
    origin = tenant.fhir_base.removesuffix("/fhir")
    assert (form.method, form.action) == ("post", f"{origin}/auth/authorize")
    assert "authorize.js" in page.text and "<script>" not in page.text
    assert f"form-action 'self' https: {origin};" in policy and "default-src 'self'" in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    answer = requests.post(form.action, data=form.values, allow_redirects=False, timeout=30)
    assert "code" in query_of(answer.headers["Location"])


@pytest.mark.requirement("@50", "@51")
def test_a_server_that_takes_no_forms_gets_an_address(
    browser: Browser,
    tenant: Tenant,
    launch_of: LaunchOf,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "cds_service.sandbox.smart_configuration.CAPABILITIES", ("launch-ehr", "permission-v2")
    )
    tested = browser.client.get(
        "/app/launch",
        query_string={"iss": tenant.fhir_base, "launch": launch_of()},
        base_url=PUBLIC_URL,
    )

    answer = browser.get(tested.location)

    assert answer.status_code == 303
    assert answer.location.startswith(f"{sandbox.config.auth_base}/authorize?")
    assert "form-action 'self';" in answer.headers["Content-Security-Policy"]


def test_the_app_s_own_pages_send_their_forms_to_us_alone(browser: Browser) -> None:
    assert "form-action 'self';" in browser.get("/app/").headers["Content-Security-Policy"]


def test_a_tenant_of_a_shared_ehr_opens_for_its_own_organization_only(
    browser: Browser, house: House, tenant: Tenant, sandbox: Sandbox
) -> None:
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, tenant_claims=("site-1",)))

    def opened(organization: str) -> int:
        launch = sandbox.authorization.new_launch(
            "p-1", "Practitioner/clinician", extra={"tenant": organization}
        )
        return browser.get(browser.to_callback(tenant.fhir_base, launch)).status_code

    assert (opened("site-1"), opened("site-2")) == (303, 400)


def test_the_page_of_an_installation_without_ehrs_says_so(house: House, tenant: Tenant) -> None:
    house.tenants.remove(tenant.id)

    assert "No EHR is registered" in house.browser().get("/app/").text
