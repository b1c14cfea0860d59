"""What an operator types on a server, where the settings stand in the environment."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlTenants, connect
from cds_service.cli import main

Run = Callable[..., Result]
ADD = (
    *("ehr", "add", "--name", "General Hospital", "--fhir-base", "https://ehr.example.org/fhir"),
    *("--issuer", "https://ehr.example.org", "--jwks", "https://ehr.example.org/jwks.json"),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    env = {
        "SIGHTLINE_DATA": str(tmp_path / "data"),
        "SIGHTLINE_PUBLIC_URL": "https://ai.example.org",
        "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:1/0",
        "SIGHTLINE_DATABASE_URL": f"sqlite:///{tmp_path / 'elsewhere.sqlite'}",
    }
    return lambda *words: CliRunner(env=env).invoke(main, words)


def test_upgrade_makes_the_ledger_and_the_keys_that_the_settings_name(
    run: Run, tmp_path: Path
) -> None:
    assert run("upgrade").exit_code == 0

    assert (tmp_path / "elsewhere.sqlite").is_file()
    for key in ("master.key", "signing-keys.json"):
        assert (tmp_path / "data" / key).stat().st_mode & 0o077 == 0
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_second_upgrade_keeps_the_keys(run: Run, tmp_path: Path) -> None:
    run("upgrade")
    before = (tmp_path / "data" / "master.key").read_bytes()

    assert run("upgrade").exit_code == 0

    assert (tmp_path / "data" / "master.key").read_bytes() == before


def test_without_a_folder_an_ehr_is_registered_where_the_settings_say(
    run: Run, tmp_path: Path
) -> None:
    run("upgrade")

    result = run(*ADD)

    assert result.exit_code == 0
    (tenant,) = SqlTenants(connect(f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")).all()
    assert tenant.name == "General Hospital"
    assert "General Hospital" in run("ehr", "list").output


def test_before_the_upgrade_a_sentence_says_what_is_missing(run: Run) -> None:
    result = run(*ADD)

    assert result.exit_code == 2 and "upgrade" in result.output


def test_without_folder_and_settings_the_missing_variable_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("SIGHTLINE_")]:
        monkeypatch.delenv(name)

    result = CliRunner().invoke(main, ["ehr", "list"])

    assert result.exit_code == 2 and "SIGHTLINE_DATA is not set" in result.output
    assert "--data DIR" in result.output
