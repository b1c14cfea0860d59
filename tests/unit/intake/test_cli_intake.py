"""`sightline intake`: what an administrator types, against a real ledger."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlIntakeCursors, SqlTenants, connect, schema, upgrade
from cds_service.cli import main
from cds_service.domain.intake import Door
from tests.builders import NOW, a_tenant

Run = Callable[..., Result]
NAME = "General Hospital"


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    engine = connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    upgrade(engine)
    SqlTenants(engine).add(a_tenant(name=NAME))
    return engine


@pytest.fixture
def run(engine: sa.Engine, tmp_path: Path) -> Run:
    return lambda command, *more: CliRunner().invoke(
        main, ["intake", command, "--data", str(tmp_path), "--ehr", NAME, *more]
    )


def test_every_door_is_closed_until_it_is_opened(run: Run, engine: sa.Engine) -> None:
    result = run("status")

    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [f"{door.value:<20}closed" for door in Door]
    assert SqlTenants(engine).get("t-1").doors == ()


def test_one_door_is_opened_and_closed_and_both_are_audited(run: Run, engine: sa.Engine) -> None:
    opened = run("open", "fhir-polling")
    shown = run("status")
    assert opened.exit_code == 0, opened.output
    assert "fhir-polling        open" in shown.output
    assert shown.output.count("open") == 1

    closed = run("close", "fhir-polling")

    assert closed.exit_code == 0, closed.output
    assert SqlTenants(engine).get("t-1").doors == ()
    columns = (schema.audit_event.c.action, schema.audit_event.c.detail)
    with engine.connect() as connection:
        events = [tuple(row) for row in connection.execute(sa.select(*columns))]
    assert events == [("intake-opened", "fhir-polling"), ("intake-closed", "fhir-polling")]


def test_a_change_feed_needs_its_address_once(run: Run, engine: sa.Engine) -> None:
    refused = run("open", "orthanc-changes")
    opened = run("open", "orthanc-changes", "--feed", "http://archive.example.org:8042/")
    again = run("open", "orthanc-changes")

    assert refused.exit_code == 2
    assert "needs the address of its feed: --feed URL" in refused.output
    assert (opened.exit_code, again.exit_code) == (0, 0)
    assert SqlTenants(engine).get("t-1").change_feed == "http://archive.example.org:8042"
    assert "http://archive.example.org:8042" in run("status").output


def test_the_feed_of_an_open_door_is_not_taken_away_by_another(run: Run, engine: sa.Engine) -> None:
    run("open", "orthanc-changes", "--feed", "http://archive.example.org:8042")

    refused = run("open", "azure-change-feed", "--feed", "https://dicom.example.org/v2")
    kept = SqlTenants(engine).get("t-1")
    run("close", "orthanc-changes")
    opened = run("open", "azure-change-feed", "--feed", "https://dicom.example.org/v2")

    assert refused.exit_code == 2
    assert "close orthanc-changes first" in refused.output
    assert kept.change_feed == "http://archive.example.org:8042"
    assert opened.exit_code == 0


@pytest.mark.parametrize(
    ("feed", "why"),
    [
        ("ftp://archive.example.org", "Only plain http"),
        ("http://user@archive.example.org", "Only plain http"),
        ("http://archive.example.org/?all=1", "must not have a query"),
    ],
)
def test_an_address_that_is_no_base_is_refused(
    run: Run, engine: sa.Engine, feed: str, why: str
) -> None:
    result = run("open", "orthanc-changes", "--feed", feed)

    assert result.exit_code == 2
    assert why in result.output
    assert SqlTenants(engine).get("t-1").doors == ()


def test_a_door_that_reads_no_feed_takes_no_address(run: Run) -> None:
    result = run("open", "fhir-polling", "--feed", "http://archive.example.org")

    assert result.exit_code == 2
    assert "reads no change feed" in result.output


@pytest.mark.parametrize(
    ("lacking", "door", "why"),
    [
        ({"archive_base": None}, "dicomweb-polling", "names no DICOMweb archive"),
        ({"backend_services": False}, "subscription", "no reads of our own"),
    ],
)
def test_a_door_that_cannot_work_is_not_opened(
    run: Run, engine: sa.Engine, lacking: dict[str, object], door: str, why: str
) -> None:
    SqlTenants(engine).remove("t-1")
    SqlTenants(engine).add(a_tenant(name=NAME, **lacking))

    result = run("open", door)

    assert result.exit_code == 2
    assert why in result.output
    assert SqlTenants(engine).get("t-1").doors == ()


def test_the_status_says_when_a_door_last_read_and_what_waits(run: Run, engine: sa.Engine) -> None:
    run("open", "orthanc-changes", "--feed", "http://archive.example.org:8042")
    cursors = SqlIntakeCursors(engine, clock=lambda: NOW)
    cursors.keep("t-1", Door.ORTHANC_CHANGES, {"place": {"after": 7}, "waiting": [{"uid": "1.2"}]})

    line = "orthanc-changes     open    read 2026-01-05 09:00:00 UTC, 1 waiting for the EHR"
    assert line in run("status").output.splitlines()


def test_a_changed_registration_keeps_its_doors(
    run: Run, engine: sa.Engine, tmp_path: Path
) -> None:
    SqlTenants(engine).remove("t-1")
    jwks = "https://ehr.example.org/jwks"
    SqlTenants(engine).add(a_tenant(name=NAME, jwks=None, jwks_url=jwks))
    run("open", "orthanc-changes", "--feed", "http://archive.example.org:8042")

    words = ["ehr", "change", NAME, "--data", str(tmp_path), "--critical-limit", "30"]
    changed = CliRunner().invoke(main, words)

    assert changed.exit_code == 0, changed.output
    tenant = SqlTenants(engine).get("t-1")
    assert (tenant.doors, tenant.critical_limit_min) == ((Door.ORTHANC_CHANGES,), 30)
    assert tenant.change_feed == "http://archive.example.org:8042"
