"""The web tests' client: what it would catch."""

import pytest
from flask import Flask

from tests.web.linted import LintedClient

LONG = {"summary": "s" * 140, "indicator": "info", "source": {"label": "Example"}}
HOOK = "/cds-services/one"


def a_client(path: str, document: object) -> LintedClient:
    app = Flask("careless")
    app.test_client_class = LintedClient
    app.add_url_rule(path, view_func=lambda: document, methods=["GET", "POST"])
    client = app.test_client()
    assert isinstance(client, LintedClient)
    return client


def test_an_answer_that_breaks_a_rule_fails_its_test() -> None:
    with pytest.raises(AssertionError, match="ch2:83"):
        a_client(HOOK, {"cards": [LONG]}).post(HOOK)
    with pytest.raises(AssertionError, match="ch2:6"):
        a_client("/cds-services", {}).get("/cds-services")


def test_an_answer_that_the_openapi_document_does_not_describe_fails_its_test() -> None:
    card = LONG | {"summary": "s", "source": {"label": "Example", "icon": "https://a.example/i"}}

    with pytest.raises(AssertionError, match="'icon' was unexpected"):
        a_client(HOOK, {"cards": [card]}).post(HOOK)


def test_other_addresses_and_a_clean_answer_pass() -> None:
    assert a_client(f"{HOOK}/feedback", {"feedback": None}).post(f"{HOOK}/feedback")
    assert a_client(HOOK, {"cards": []}).post(HOOK).json == {"cards": []}
