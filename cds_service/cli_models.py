"""The `sightline models` commands: which models there are, whether they hold, and which are used.

The service and the workers read what is enabled on every call, so a change needs no restart.

Source: docs/reference/models.md.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Column, Table

from cds_service.cli_analyze import MODEL_ID
from cds_service.cli_installation import data_option, named_ehr, now, open_ledger
from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import ModelIdentity
from cds_service.errors import ModelMissing, ModelRefused, NotFound, SettingsInvalid
from cds_service.settings import Settings
from cds_service.usecases.change_models import ModelChanges

if TYPE_CHECKING:  # numpy and the runtime load only when a command runs
    from cds_service.adapters.model_check import Check
    from cds_service.adapters.model_shelf import EnabledModels, ModelShelf
    from models.contract import ModelCard

EVERYWHERE = "every EHR"

ehr_option = click.option("--ehr", metavar="NAME", help="At this EHR only (default: at every one).")


@click.group()
def models() -> None:
    """Show, check, import and enable the models that read images."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per model and line.")
@data_option
def list_models(as_json: bool, data: Path | None) -> None:
    """Show the installed models and where they are enabled."""
    shelf = _shelf(data)
    names = _names(data)
    rows = [_row(shelf, model_id, shelf.enabled(), names) for model_id in shelf.ids()]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    table = Table("Model", "Version", Column("Looks for", overflow="fold"), "Enabled")
    for row in rows:
        said = row["problem"] or ", ".join(row["findings"])
        table.add_row(row["id"], row["version"], said, ", ".join(row["enabled"]) or "no")
    Console().print(table)


def _row(
    shelf: "ModelShelf", model_id: str, enabled: "EnabledModels", names: Mapping[str, str]
) -> dict[str, Any]:
    places = [EVERYWHERE] if model_id in enabled.everywhere else []
    places += [names.get(one, one) for one, ids in enabled.at_ehr.items() if model_id in ids]
    row: dict[str, Any] = {
        "id": model_id,
        "version": "",
        "digest": "",
        "findings": [],
        "enabled": places,
        "bundled": shelf.is_bundled(model_id),
        "problem": None,
    }
    try:
        card = shelf.card(model_id)
    except ModelMissing as error:
        return row | {"problem": str(error)}
    findings = [one.coding.display for one in card.findings]
    return row | {"version": card.version, "digest": card.digest, "findings": findings}


@models.command()
@click.argument("model_id", metavar="ID")
@data_option
def show(model_id: str, data: Path | None) -> None:
    """Print what the model's card says.

    Use, findings, operating points, licence and limits.
    """
    for label, value in _facts(_shelf(data).card(model_id)):
        click.echo(f"{label:<16}{value}")


def _facts(card: "ModelCard") -> list[tuple[str, str]]:
    use = card.intended_use
    points = [
        (
            "finding",
            f"{one.coding.display} ({one.coding.system} {one.coding.code}): threshold "
            f"{one.threshold}, undecided {one.abstain_low} to {one.abstain_high}"
            f"{', critical' if one.critical else ''}",
        )
        for one in card.findings
    ]
    return [
        ("id", card.id),
        ("version", card.version),
        ("title", card.title),
        ("developer", card.developer),
        ("label", card.label),
        ("licence", card.licence or "not stated"),
        ("weights", card.digest),
        *points,
        ("made for", f"{use.projection} of {use.population}"),
        ("modalities", ", ".join(sorted(use.modalities))),
        ("body parts", ", ".join(sorted(use.body_parts)) or "any"),
        ("views", ", ".join(sorted(use.views)) or "any"),
        ("series", _series(card)),
        ("heatmap", "from its feature maps" if card.output.activation else "by occlusion"),
        ("out of scope", "it tells itself" if card.output.scope else "not told"),
        *(("limit", one) for one in card.limits),
    ]


def _series(card: "ModelCard") -> str:
    if not card.routing:
        return "every image inside that"
    which = "the best one" if card.routing.get("series") == "best" else "every one"
    return f"{which} that the rules in its card take; see: sightline route STUDY --explain"


@models.command()
@click.argument("model", metavar="ID-OR-FOLDER")
@data_option
def verify(model: str, data: Path | None) -> None:
    """Check a model's card, bytes, operators and answers.

    Exit code 1: something is wrong.
    """
    from cds_service.adapters.model_check import check_package

    shelf = _shelf(data)
    if model in shelf.ids():
        folder = Path(str(shelf.folder(model)))
    elif Path(model).is_dir():
        folder = Path(model)
    else:
        raise ModelMissing(f"No model {model} is installed, and no folder has that name.")
    checks = check_package(folder)
    _say(checks)
    sys.exit(1 if any(check.problem for check in checks) else 0)


def _say(checks: "tuple[Check, ...]") -> None:
    for check in checks:
        word = "wrong" if check.problem else "ok"
        click.echo(f"{word:<6}{check.name:<8}{check.problem or check.note}")


@models.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def draft(source: Path, folder: Path) -> None:
    """Write the draft of a card for a model.

    SOURCE is an ONNX file or a MONAI bundle; FOLDER is made.
    """
    from models.draft import draft_package

    try:
        card = draft_package(source, folder)
    except (ValueError, OSError) as error:
        raise ModelRefused(f"No card was drafted: {error}.") from error
    click.echo(f"Fill in {card}, then: sightline models import {folder}")


@models.command("import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_option
def import_model(folder: Path, data: Path | None) -> None:
    """Check a package and put it into the installation.

    FOLDER holds the package. The model is not enabled by that: sightline models enable ID.
    """
    from cds_service.adapters.model_shelf import identity_of
    from cds_service.adapters.model_store import import_package

    model = _changes(data).make(
        AuditAction.MODEL_IMPORTED,
        lambda: identity_of(import_package(folder, _home(data), _shelf(data))),
        named=f"in a folder {folder.name}",
    )
    click.echo(f"Imported {model.id} {model.version}. Next: sightline models enable {model.id}")


@models.command()
@click.argument("model_id", metavar="ID")
@ehr_option
@data_option
def enable(model_id: str, ehr: str | None, data: Path | None) -> None:
    """Ask this model first, from now on; audited.

    Those that are enabled already are asked after it.
    """
    from cds_service.adapters import model_store

    tenant_id, shelf = _tenant_id(ehr, data), _shelf(data)

    def change() -> ModelIdentity:
        model_store.enable(model_id, tenant_id, _home(data), shelf)
        return _identity(model_id, shelf)

    _changes(data).make(AuditAction.MODEL_ENABLED, change, named=model_id, tenant_id=tenant_id)
    click.echo(f"{model_id} is asked first at {ehr or EVERYWHERE}.")


@models.command()
@click.argument("model_id", metavar="ID")
@ehr_option
@data_option
def remove(model_id: str, ehr: str | None, data: Path | None) -> None:
    """Ask this model no more. Without --ehr an imported one is deleted; its results stay."""
    from cds_service.adapters import model_store

    tenant_id, shelf = _tenant_id(ehr, data), _shelf(data)

    def change() -> ModelIdentity:
        model = _identity(model_id, shelf)  # what goes has no card afterwards
        model_store.remove(model_id, tenant_id, _home(data), shelf)
        return model

    _changes(data).make(AuditAction.MODEL_REMOVED, change, named=model_id, tenant_id=tenant_id)
    click.echo(f"{model_id} is no longer asked at {ehr or EVERYWHERE}.")


def _changes(data: Path | None) -> ModelChanges:
    """Open the audit log first: what cannot be noted is not done."""
    from cds_service.adapters.ledger import SqlAuditLog

    return ModelChanges(SqlAuditLog(open_ledger(data)), now)


def _identity(model_id: str, shelf: "ModelShelf") -> ModelIdentity:
    """Return which model it is; one whose card cannot be read is known by its id alone."""
    from cds_service.adapters.model_shelf import identity_of

    try:
        return identity_of(shelf.card(model_id))
    except ModelMissing:
        return ModelIdentity(model_id, "", "")


def _names(data: Path | None) -> dict[str, str]:
    """Return the names of the registered EHRs by their ids; none without an installation."""
    from cds_service.adapters.ledger import SqlTenants

    try:
        return {one.id: one.name for one in SqlTenants(open_ledger(data)).all()}
    except (NotFound, SettingsInvalid):
        return {}


def _tenant_id(name: str | None, data: Path | None) -> str | None:
    from cds_service.adapters.ledger import SqlTenants

    return None if name is None else named_ehr(name, SqlTenants(open_ledger(data)).all()).id


def _home(data: Path | None) -> Path:
    """Return the data folder of the installation; raise SettingsInvalid, ModelRefused."""
    home = Settings.from_env(os.environ).data if data is None else data
    if not home.is_dir():
        raise ModelRefused(f"There is no Sightline installation in {home}.")
    return home


def _shelf(data: Path | None) -> "ModelShelf":
    """Return the installation's models; without one, those that come with Sightline."""
    from cds_service.adapters.model_shelf import ModelShelf

    if data is None and "SIGHTLINE_DATA" in os.environ:
        data = Settings.from_env(os.environ).data
    return ModelShelf(data, MODEL_ID)
