"""The context of a link that stands in an address: nobody else reads, makes or moves it."""

import re
from base64 import urlsafe_b64encode

import pytest

from cds_service.adapters.vault import Vault
from cds_service.usecases.seal_context import SEALED_LIMIT, open_context, seal_context

VAULT = Vault(b"k" * 32)
CONTEXT = '{"study":"1.2.840.99999.1","job":null,"result":"r-1"}'


def test_a_sealed_context_says_nothing_needs_no_escaping_and_opens_again() -> None:
    text = seal_context("t-1", CONTEXT, vault=VAULT)

    assert re.fullmatch(r"[A-Za-z0-9_-]+", text) and "1.2.840" not in text
    assert open_context("t-1", text, vault=VAULT) == CONTEXT


def test_a_context_of_three_long_ids_stays_below_what_is_read() -> None:
    assert len(seal_context("t-1", "x" * 400, vault=VAULT)) < SEALED_LIMIT


@pytest.mark.parametrize("text", ["", "x", "é", "====", "QUJD", "a" * 5000, "%2e%2e"])
def test_what_was_never_sealed_is_no_context(text: str) -> None:
    assert open_context("t-1", text, vault=VAULT) is None


def test_t10_a_context_of_another_ehr_or_installation_or_a_changed_one_does_not_open() -> None:
    text = seal_context("t-1", CONTEXT, vault=VAULT)
    changed = text[:-5] + ("A" if text[-5] != "A" else "B") + text[-4:]

    assert open_context("t-2", text, vault=VAULT) is None
    assert open_context("t-1", text, vault=Vault(b"x" * 32)) is None
    assert open_context("t-1", changed, vault=VAULT) is None


def test_what_was_sealed_for_another_purpose_is_no_context() -> None:
    other = urlsafe_b64encode(VAULT.seal("token", "t-1", CONTEXT.encode())).decode()

    assert open_context("t-1", other, vault=VAULT) is None
