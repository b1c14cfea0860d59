"""What the demo refuses before it starts anything, each with one sentence."""

import fcntl
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.demo.stack import LOCK


def start(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


@pytest.mark.parametrize("port", [0, -1, 65_536, 70_000])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    result = start("--port", port)

    assert result.exit_code == 2 and "is not in the range" in result.stderr


def test_a_state_file_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = start("--state", tmp_path / "nowhere" / "state.json", "--data", tmp_path / "data")

    assert result.exit_code == 2 and "nowhere" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = start("--data", tmp_path / "file" / "data")

    assert result.exit_code == 2 and "cannot be used" in result.stderr


def test_a_data_folder_that_another_demo_uses_is_refused(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        result = start("--data", tmp_path)

    assert result.exit_code == 2 and "Another demo is using" in result.stderr
    assert not (tmp_path / "ledger.sqlite").exists()
