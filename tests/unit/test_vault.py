"""The vault: what it seals opens only whole, for its purpose and its tenant."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.adapters.vault import KEY_BYTES, Vault, load_or_create_key
from cds_service.errors import SettingsInvalid, SightlineError

KEY = bytes(range(KEY_BYTES))


@pytest.fixture
def vault() -> Vault:
    return Vault(KEY)


@given(plaintext=st.binary(max_size=200), purpose=st.text(), tenant_id=st.text())
def test_what_was_sealed_opens(plaintext: bytes, purpose: str, tenant_id: str) -> None:
    sealed = Vault(KEY).seal(purpose, tenant_id, plaintext)

    assert Vault(KEY).open(purpose, tenant_id, sealed) == plaintext


def test_a_person_has_one_pseudonym_per_tenant_and_purpose_and_key(vault: Vault) -> None:
    user = "Practitioner/1"
    pseudonym = vault.pseudonym("reader", "t-1", user)

    assert pseudonym == Vault(KEY).pseudonym("reader", "t-1", user) and user not in pseudonym
    others = {
        vault.pseudonym("reader", "t-1", "Practitioner/2"),
        vault.pseudonym("reader", "t-2", user),
        vault.pseudonym("other", "t-1", user),
        Vault(KEY[::-1]).pseudonym("reader", "t-1", user),
    }
    assert len({pseudonym, *others}) == 5


def test_the_same_plaintext_is_never_sealed_alike(vault: Vault) -> None:
    sealed = {vault.seal("token", "t-1", b"secret") for _ in range(50)}

    assert len(sealed) == 50 and not any(b"secret" in form for form in sealed)


@pytest.mark.parametrize(
    ("purpose", "tenant_id"), [("session", "t-1"), ("token", "t-2"), ("tokent", "-1")]
)
def test_another_purpose_or_tenant_does_not_open_it(
    vault: Vault, purpose: str, tenant_id: str
) -> None:
    sealed = vault.seal("token", "t-1", b"secret")

    with pytest.raises(SightlineError):
        vault.open(purpose, tenant_id, sealed)


def test_another_master_key_does_not_open_it(vault: Vault) -> None:
    with pytest.raises(SightlineError):
        Vault(bytes(KEY_BYTES)).open("token", "t-1", vault.seal("token", "t-1", b"secret"))


def test_no_changed_byte_goes_unnoticed(vault: Vault) -> None:
    sealed = vault.seal("token", "t-1", b"secret")

    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SightlineError):
            vault.open("token", "t-1", bytes(changed))


@pytest.mark.parametrize("length", [0, 1, 5, 12, 13, 20])
def test_a_shortened_form_is_refused_in_our_own_words(vault: Vault, length: int) -> None:
    sealed = vault.seal("token", "t-1", b"secret")

    with pytest.raises(SightlineError, match=r"^A sealed value cannot be opened") as caught:
        vault.open("token", "t-1", sealed[:length])

    assert caught.value.__suppress_context__


def test_a_master_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        Vault(b"short")


# --- the key file ---


def test_a_key_is_drawn_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "master.key"

    key = load_or_create_key(path)

    assert len(key) == KEY_BYTES and load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_key, [tmp_path / "master.key"] * 8))

    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_a_key_file_of_the_wrong_length_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(b"short")

    with pytest.raises(SettingsInvalid, match=r"SIGHTLINE_MASTER_KEY_FILE.*32 bytes.*holds 5"):
        load_or_create_key(path)

    assert path.read_bytes() == b"short"


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"SIGHTLINE_MASTER_KEY_FILE.*folder must exist"):
        load_or_create_key(tmp_path / "nowhere" / "master.key")
