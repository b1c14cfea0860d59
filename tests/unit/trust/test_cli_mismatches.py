"""`sightline mismatches`: what the administrator is told about images of somebody else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlAuditLog, SqlTenants, connect, upgrade
from cds_service.cli import main
from cds_service.domain.audit import AuditAction, AuditEvent
from tests.builders import a_tenant

STUDY = "1.2.840.99999.7"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    upgrade(connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))
    return tmp_path


def run(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["mismatches", *words, "--data", str(data)])


def audited(
    data: Path,
    action: AuditAction,
    *,
    days_ago: int = 0,
    outcome: str = "refused",
    detail: str = "",
) -> None:
    engine = connect(f"sqlite:///{data / 'ledger.sqlite'}")
    at = datetime.now(UTC) - timedelta(days=days_ago)
    event = AuditEvent(action, at, "t-1", "worker", outcome, "p-secret", STUDY, detail)
    SqlAuditLog(engine).record(event)


def test_nothing_to_tell_is_said(data: Path) -> None:
    audited(data, AuditAction.STUDY_FETCHED)

    result = run(data)

    assert result.exit_code == 0
    assert result.output.startswith("Every study was matched to its patient, and no image")


def test_a_mismatch_is_told_with_what_differs_and_without_the_patient(data: Path) -> None:
    SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).add(a_tenant(name="St. Elsewhere"))
    audited(
        data,
        AuditAction.PATIENT_MISMATCH,
        detail="birth-date-differs, patient-id-differs, sex-differs",
    )

    result = run(data)

    assert result.exit_code == 1 and "p-secret" not in result.output
    assert "patient-id-differs, sex-differs  St. Elsewhere" in result.output
    assert STUDY in result.output


def test_a_name_spelled_otherwise_is_told_and_raises_no_alarm(data: Path) -> None:
    audited(data, AuditAction.NAME_DIFFERS, outcome="noted")

    result = run(data)

    assert result.exit_code == 0 and "name-differs" in result.output
    assert "an EHR that is not registered" in result.output


def test_pixels_that_are_others_now_are_told_and_raise_the_alarm(data: Path) -> None:
    audited(data, AuditAction.PIXELS_DIFFER)

    result = run(data)

    assert result.exit_code == 1 and "p-secret" not in result.output
    assert "pixels-differ" in result.output and STUDY in result.output


def test_what_is_older_than_was_asked_for_is_left_out(data: Path) -> None:
    audited(data, AuditAction.PATIENT_MISMATCH, days_ago=9)

    assert run(data).exit_code == 0
    assert run(data, "--days", "10").exit_code == 1
