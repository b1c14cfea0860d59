"""Put a model package into an installation's data folder, and take it out again.

A package is checked before it comes in, and comes in whole or not at all.

Source: docs/reference/models.md.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from cds_service.adapters.model_check import Check, check_package
from cds_service.adapters.model_shelf import IMPORTED, ModelShelf, write_enabled
from cds_service.errors import ModelMissing, ModelRefused
from models.contract import ModelCard

FILES = ("card.yaml", "model.onnx", "golden.npz", "transparency.yaml")  # the first two must be


def import_package(folder: Path, data: Path, shelf: ModelShelf) -> ModelCard:
    """Check the package in `folder` and copy it; return its card.

    Raises ModelRefused with every problem, when its id came with Sightline, or when this version
    is there already with other bytes: what changes what a model decides has a new version.
    """
    refuse_problems(folder.name, check_package(folder))
    card = ModelCard.from_yaml((folder / "card.yaml").read_text(encoding="utf-8"))
    if shelf.is_bundled(card.id):
        raise ModelRefused(f"{card.id} is the id of a model that comes with Sightline.")
    home = data / IMPORTED
    known = home / card.id
    if (known / "card.yaml").is_file() and _is_changed_silently(folder, known, card):
        raise ModelRefused(
            f"{card.id} {card.version} is installed already, and is not the same: "
            "give the changed model a new version."
        )
    home.mkdir(mode=0o700, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{card.id}-", dir=home))
    try:
        for name in FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, draft / name)
        if known.exists():
            shutil.rmtree(known)
        draft.rename(known)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card


def enable(model_id: str, tenant_id: str | None, data: Path, shelf: ModelShelf) -> None:
    """Ask this model first, everywhere or at one EHR; raise ModelMissing, ModelRefused."""
    if model_id not in shelf.ids():
        raise ModelMissing(f"No model {model_id} is installed: see sightline models list.")
    refuse_problems(model_id, check_package(Path(str(shelf.folder(model_id)))))
    enabled = shelf.enabled()
    if tenant_id is None:
        everywhere = tuple(dict.fromkeys((model_id, *enabled.everywhere)))
        write_enabled(data, replace(enabled, everywhere=everywhere))
        return
    own = tuple(dict.fromkeys((model_id, *enabled.at_ehr.get(tenant_id, ()))))
    write_enabled(data, replace(enabled, at_ehr={**enabled.at_ehr, tenant_id: own}))


def remove(model_id: str, tenant_id: str | None, data: Path, shelf: ModelShelf) -> None:
    """Ask this model no more, at one EHR, or anywhere: then an imported one is deleted too.

    Raises ModelMissing, and ModelRefused where no model would be left for every EHR.
    """
    if model_id not in shelf.ids():
        raise ModelMissing(f"No model {model_id} is installed: see sightline models list.")
    enabled = shelf.enabled()
    if tenant_id is not None:
        own = tuple(one for one in enabled.at_ehr.get(tenant_id, ()) if one != model_id)
        if own == enabled.at_ehr.get(tenant_id, ()):
            raise ModelRefused(f"{model_id} is not enabled for this EHR alone.")
        write_enabled(data, replace(enabled, at_ehr={**enabled.at_ehr, tenant_id: own}))
        return
    everywhere = tuple(one for one in enabled.everywhere if one != model_id)
    if not everywhere:
        raise ModelRefused(f"{model_id} is the only model for every EHR: enable another first.")
    at_ehr = {
        tenant: tuple(one for one in ids if one != model_id)
        for tenant, ids in enabled.at_ehr.items()
    }
    write_enabled(data, replace(enabled, everywhere=everywhere, at_ehr=at_ehr))
    if not shelf.is_bundled(model_id):
        shutil.rmtree(data / IMPORTED / model_id)


def refuse_problems(name: str, checks: tuple[Check, ...]) -> None:
    """Raise ModelRefused that names every problem."""
    problems = [f"{check.name}: {check.problem}" for check in checks if check.problem]
    if problems:
        raise ModelRefused(f"{name} cannot be used. {'; '.join(problems)}.")


def _is_changed_silently(folder: Path, known: Path, card: ModelCard) -> bool:
    try:
        installed = ModelCard.from_yaml((known / "card.yaml").read_text(encoding="utf-8"))
    except ValueError:
        return False  # nobody could have used it
    return installed.version == card.version and installed.details != card.details
