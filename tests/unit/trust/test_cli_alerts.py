"""`sightline ehr alerts`: what an administrator types, against a real ledger."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlAlerts, SqlTenants, connect, schema, upgrade
from cds_service.cli import main
from cds_service.domain.alert import AlertPolicies, AlertPolicy
from cds_service.domain.card import Indicator
from tests.builders import a_tenant

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
    words = ["ehr", "alerts", "--data", str(tmp_path)]
    return lambda *more: CliRunner().invoke(main, [*words, *more])


def test_without_options_the_settings_are_shown_and_nothing_is_written(
    run: Run, engine: sa.Engine
) -> None:
    result = run(NAME)

    assert result.exit_code == 0, result.output
    for line in ("minimum indicator        info", "budget per 100 charts    none"):
        assert line in result.output
    with engine.connect() as connection:
        assert connection.execute(sa.select(schema.alert_policy)).all() == []


def test_every_setting_can_be_changed_and_the_change_is_audited(
    run: Run, engine: sa.Engine
) -> None:
    result = run(
        NAME,
        *("--minimum-indicator", "warning", "--budget", "20", "--order-check-days", "0"),
        *("--repeat-after-override", "--repeat-when-acknowledged"),
    )

    assert result.exit_code == 0, result.output
    assert SqlAlerts(engine).policies("t-1").default == AlertPolicy(
        minimum_indicator=Indicator.WARNING,
        quiet_after_override=False,
        quiet_when_acknowledged=False,
        budget_per_100_charts=20,
        order_check_days=0,
    )
    with engine.connect() as connection:
        (event,) = connection.execute(sa.select(schema.audit_event)).all()
    assert event.action == "alerts-set" and "budget_per_100_charts=20" in event.detail


def test_a_finding_of_its_own_starts_from_the_settings_of_all_others(
    run: Run, engine: sa.Engine
) -> None:
    run(NAME, "--budget", "20")
    run(NAME, "--finding", "233604007", "--no-budget")

    assert SqlAlerts(engine).policies("t-1") == AlertPolicies(
        AlertPolicy(budget_per_100_charts=20), {"233604007": AlertPolicy()}
    )


def test_what_was_held_back_is_shown_to_the_administrator(run: Run, engine: sa.Engine) -> None:
    run(NAME, "--budget", "1")
    SqlAlerts(engine).spend("t-1", {"": 1}, {"": 3}, opens_chart=True)

    result = run(NAME)

    assert "1 charts, 1 notices, 2 held back" in result.output
    assert "held back ever           2" in result.output


@pytest.mark.parametrize("budget", ["-1", "many", "1.5", "²"])
def test_a_budget_that_is_no_number_is_refused(run: Run, budget: str) -> None:
    assert run(NAME, f"--budget={budget}").exit_code == 2


def test_an_unknown_ehr_is_named_with_those_that_there_are(run: Run) -> None:
    result = run("Elsewhere")

    assert result.exit_code == 2 and NAME in result.output
