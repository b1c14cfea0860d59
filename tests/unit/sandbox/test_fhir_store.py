"""The record itself: persistence, threads, and keys on disk."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cds_service.sandbox.fhir_store import FhirStore
from cds_service.sandbox.outcomes import InvalidResource, UnsupportedType, VersionConflict
from cds_service.sandbox.signing_keys import SigningKeys
from tests.unit.sandbox.clients import a_patient, an_observation


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FhirStore]:
    opened = FhirStore(tmp_path / "fhir.sqlite")
    yield opened
    opened.close()


def test_the_record_outlives_the_process(tmp_path: Path) -> None:
    first = FhirStore(tmp_path / "fhir.sqlite")
    first.update(a_patient("p1"))
    first.close()

    second = FhirStore(tmp_path / "fhir.sqlite")
    found = second.search("Patient", {"identifier": "MRN-p1"})
    second.close()

    assert [patient["id"] for patient in found] == ["p1"]


def test_an_update_forgets_what_the_old_version_was_found_by(store: FhirStore) -> None:
    store.update(an_observation("p1", status="preliminary"))
    store.update(an_observation("p1", status="final"))

    assert store.search("Observation", {"status": "preliminary"}) == []
    assert len(store.search("Observation", {"status": "final"})) == 1


def test_concurrent_updates_lose_no_version(store: FhirStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: store.update(a_patient("p1")), range(40)))

    versions = sorted(int(resource["meta"]["versionId"]) for resource in written)
    assert versions == list(range(1, 41))


def test_of_two_updates_of_one_version_one_is_refused(store: FhirStore) -> None:
    store.update(a_patient("p1"))

    store.update(a_patient("p1"), if_match="1")

    with pytest.raises(VersionConflict):
        store.update(a_patient("p1"), if_match="1")


def test_a_failure_inside_all_or_nothing_takes_everything_back(store: FhirStore) -> None:
    with pytest.raises(InvalidResource), store.all_or_nothing():
        store.update(a_patient("p1"))
        store.update(a_patient("p2", gender="bogus"))

    assert store.search("Patient", {}) == []
    assert store.update(a_patient("p1"))["meta"]["versionId"] == "1"


@pytest.mark.parametrize("id_", ["", "a b", "x" * 65, "a/b"])
def test_an_id_outside_the_rules_is_refused(store: FhirStore, id_: str) -> None:
    with pytest.raises(InvalidResource):
        store.update(a_patient(id_))


def test_a_type_we_do_not_hold_is_refused(store: FhirStore) -> None:
    with pytest.raises(UnsupportedType):
        store.create({"resourceType": "Medication"})


def test_what_is_not_a_transaction_entry_by_entry_stays_out_of_the_record(
    store: FhirStore,
) -> None:
    entry = {"resource": a_patient("p1"), "request": {"method": "PUT", "url": "Patient/p1"}}

    answer = store.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})

    assert answer["entry"][0]["response"]["status"] == "201 Created"
    assert store.read("Patient", "p1") == answer["entry"][0]["resource"]


def test_keys_are_made_once_and_only_we_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "keys.json"

    first, second = SigningKeys(path), SigningKeys(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.public_jwks() == second.public_jwks()
