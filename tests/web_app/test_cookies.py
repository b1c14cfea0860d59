"""The cookies of one browser over a shift: never more than a server takes in one header."""

import redis

from cds_service.domain.tenant import Tenant
from smart_app.session import OPEN_CHARTS
from tests.builders import a_result
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House

HEADER_LIMIT = 8190  # bytes; gunicorn's limit_request_field_size


def header(browser: Browser) -> str:
    """Return what this browser sends with every request."""
    jar = browser.client._cookies or {}
    return "Cookie: " + "; ".join(f"{cookie.key}={cookie.value}" for cookie in jar.values())


def test_a_hundred_and_twenty_charts_in_one_browser_fit_into_the_header(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(a_result())
    browser.get("/app/?language=de")

    pages = [browser.open(tenant.fhir_base, launch_of()) for _ in range(120)]

    assert len(header(browser)) < HEADER_LIMIT - 500  # of the next launch's own cookie
    assert header(browser).count("sightline-") == OPEN_CHARTS + 1  # and the language's
    newest = [browser.get(page).status_code for page in pages[-OPEN_CHARTS:]]
    assert newest == [200] * OPEN_CHARTS
    assert browser.get(pages[-OPEN_CHARTS - 1]).status_code == 401


def test_the_cookie_of_a_session_that_is_gone_is_taken_back(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf, keyspace: redis.Redis
) -> None:
    browser.open(tenant.fhir_base, launch_of())
    (ended,) = keyspace.scan_iter("sightline:app:session:*")
    browser.open(tenant.fhir_base, launch_of())
    keyspace.delete(ended)

    browser.open(tenant.fhir_base, launch_of())

    assert header(browser).count("sightline-") == 2
