"""`sightline ehr check` at the sandbox EHR, with its archive, a real Redis and the service."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from click.testing import CliRunner

from cds_service import wiring
from cds_service.adapters.queue import ring_worker
from cds_service.cli import main
from tests.contract.dimse_archive import dimse_server
from tests.e2e.hospital import Hospital, running_hospital
from tests.intake.conftest import environment
from tests.intake.dimse import tidied as tidied
from tests.real.servers import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("ehr check")]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with running_hospital(tmp_path_factory.mktemp("hospital")) as running:
        yield running


@dataclass(frozen=True)
class Answer:
    """What the command said."""

    exit_code: int
    printed: str

    @property
    def lines(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.printed.splitlines()]

    @property
    def outcomes(self) -> dict[str, str]:
        return {one["check"]: one["outcome"] for one in self.lines}


def check(hospital: Hospital, *words: str) -> Answer:
    command = ["ehr", "check", hospital.tenant.name, *words]
    result = CliRunner().invoke(main, command, env=environment(hospital.settings))
    return Answer(result.exit_code, result.output)


@contextmanager
def registered(hospital: Hospital, **changes: Any) -> Iterator[None]:
    """Change the registration for a while."""
    tenants = wiring.open_house(hospital.settings).tenants
    tenants.change(replace(hospital.tenant, **changes))
    try:
        yield
    finally:
        tenants.change(hospital.tenant)


@pytest.fixture
def worker(hospital: Hospital) -> Iterator[None]:
    """Somebody who is there for work, and does none."""
    idle = ring_worker(hospital.redis, "idle")
    idle.register_birth()
    yield
    idle.register_death()


@pytest.mark.usefixtures("worker")
def test_an_ehr_that_works_is_ok_in_every_line(hospital: Hospital) -> None:
    with dimse_server() as pacs, registered(hospital, other_archives=(pacs.base,)):
        answer = check(hospital, "--json")

    assert set(answer.outcomes.values()) == {"ok"} and answer.exit_code == 0
    assert list(answer.outcomes) == [
        *("fhir", "fhir-reading", "write-back", "sign-in", "hook-keys"),
        *("token", "scopes-reading", "scopes-writing", "archive", "models"),
        *("public-url", "own-keys", "redis", "workers"),
    ]
    assert answer.printed.count('"archive"') == 2


@pytest.mark.usefixtures("worker")
def test_people_are_told_the_same_in_lines_and_nothing_of_a_patient(hospital: Hospital) -> None:
    answer = check(hospital)

    lines = answer.printed.splitlines()
    assert len(lines) == 14 and all(line.startswith("ok ") for line in lines)
    for person in hospital.sandbox.fhir.search("Patient", {}):
        assert person["name"][0]["family"] not in answer.printed
    assert "eyJ" not in answer.printed  # of any JWT


@pytest.mark.usefixtures("worker")
def test_an_archive_that_is_stopped_fails_alone(hospital: Hospital) -> None:
    stopped = f"http://127.0.0.1:{free_port()}/dicom-web"

    with registered(hospital, archive_base=stopped):
        answer = check(hospital, "--json")

    assert answer.exit_code == 1
    assert {name for name, outcome in answer.outcomes.items() if outcome != "ok"} == {"archive"}
    assert stopped in answer.printed


@pytest.mark.usefixtures("worker")
def test_a_client_that_the_ehr_does_not_know_gets_no_token(hospital: Hospital) -> None:
    with registered(hospital, client_id="somebody-else"):
        answer = check(hospital, "--json")

    assert answer.exit_code == 1
    failed = {name for name, outcome in answer.outcomes.items() if outcome != "ok"}
    assert failed == {"token", "archive"}  # whose credentials are the token
    assert "--client-id" in answer.printed


def test_an_archive_that_never_answers_is_given_up_and_the_next_check_is_made(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds_service.wiring.check.CHECK_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_base = f"http://127.0.0.1:{silent.getsockname()[1]}/dicom-web"
        with registered(hospital, archive_base=silent_base):
            answer = check(hospital, "--json")

    (said,) = [one for one in answer.lines if one["check"] == "archive"]
    assert said["outcome"] == "failed" and "took longer" in said["text"]
    assert "models" in answer.outcomes


def test_without_a_worker_studies_would_wait(hospital: Hospital) -> None:
    answer = check(hospital, "--json")

    assert answer.outcomes["redis"] == "ok" and answer.outcomes["workers"] == "failed"


def test_a_folder_is_enough_for_all_but_the_installations_own_side(hospital: Hospital) -> None:
    answer = check(hospital, "--json", "--data", str(hospital.settings.data))

    assert answer.exit_code == 0
    assert answer.outcomes["token"] == answer.outcomes["archive"] == "ok"
    assert answer.outcomes["public-url"] == "not set up" and "redis" not in answer.outcomes


def test_the_keys_of_another_installation_at_our_address_are_told_of(
    hospital: Hospital, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = tmp_path_factory.mktemp("other") / "keys.json"
    env = environment(hospital.settings) | {"SIGHTLINE_SIGNING_KEY_FILE": str(keys)}

    result = CliRunner().invoke(main, ["ehr", "check", hospital.tenant.name, "--json"], env=env)

    outcomes = Answer(result.exit_code, result.output).outcomes
    assert outcomes["own-keys"] == "failed" and outcomes["token"] == "failed"


def test_an_ehr_that_is_not_registered_is_refused_in_a_sentence(hospital: Hospital) -> None:
    command = ["ehr", "check", "Nowhere"]

    result = CliRunner().invoke(main, command, env=environment(hospital.settings))

    assert result.exit_code == 2 and "No EHR is registered as 'Nowhere'" in result.output
