"""Fixtures of the end-to-end tests: one demo for all of them, a browser for each module."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.hospital import Hospital, running_hospital
from tests.e2e.running_demo import Demo, running_demo
from tests.e2e.states import fill
from tests.real.pages import blank_page, chromium, without_errors


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Iterator[None]:
    """Show the end of each log of the demos that a failed test has used."""
    report: pytest.TestReport = yield
    if report.failed:
        for demo in _demos_of(item):
            report.sections += [(f"demo: {name}", end) for name, end in demo.last_words()]
    return report


def _demos_of(item: pytest.Function) -> list[Demo]:
    """Return the demos among a test's fixtures, also one that came with something."""
    found = [
        part
        for value in item.funcargs.values()
        for part in (value if isinstance(value, tuple) else (value,))
    ]
    return [part for part in found if isinstance(part, Demo)]


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo; only the first test that opens a chart sees it for the first time."""
    with running_demo(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture(scope="package")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A hospital whose ledger has every state of the app."""
    with running_hospital(tmp_path_factory.mktemp("hospital")) as hospital:
        fill(hospital)
        yield hospital


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages go to be looked at: the folder that SIGHTLINE_PICTURES names."""
    folder = os.environ.get("SIGHTLINE_PICTURES")
    kept = Path(folder) if folder else tmp_path_factory.mktemp("pictures")
    kept.mkdir(parents=True, exist_ok=True)
    return kept


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with no cookies, which fails the test on any error that the browser reports."""
    with blank_page(browser) as page, without_errors(page):
        yield page
