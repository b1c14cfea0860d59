"""The models of one installation: those that come with Sightline, and those in its data folder.

`models.json` in the data folder says which are enabled, for every EHR and for single ones. Each
process reads it, and the cards, again when they have changed, so nothing has to be restarted.

Source: docs/reference/models.md, "Which model reads a study".
"""

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from cds_service.adapters.model_rules import series_rules_of
from cds_service.domain.finding import ModelIdentity
from cds_service.domain.guards import IntendedUse
from cds_service.domain.routing import Route
from cds_service.errors import ModelMissing, SettingsInvalid, WeightsDigestMismatch
from models.contract import ModelCard, ModelPackage, WeightsChanged
from models.registry import card_of, model_ids, package_of

log = logging.getLogger(__name__)

ENABLED, IMPORTED = "models.json", "models"  # in the data folder

_Value = TypeVar("_Value")
_Stamp = tuple[int, int] | None  # when a file changed, and its size; None: it is not there


@dataclass(frozen=True, slots=True)
class EnabledModels:
    """Model ids in the order in which they are asked; an EHR's own come before those of all."""

    everywhere: tuple[str, ...]
    at_ehr: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by tenant id

    def of(self, tenant_id: str) -> tuple[str, ...]:
        """Return the models of one EHR, each once."""
        return tuple(dict.fromkeys((*self.at_ehr.get(tenant_id, ()), *self.everywhere)))

    def all(self) -> tuple[str, ...]:
        """Return every model that is enabled somewhere, each once."""
        own = (model_id for ids in self.at_ehr.values() for model_id in ids)
        return tuple(dict.fromkeys((*self.everywhere, *own)))


class ModelShelf:
    """Reads cards, weights and what is enabled. `data` None: the bundled models only."""

    def __init__(self, data: Path | None, default: str) -> None:
        self._data, self._default = data, default
        self._read: dict[Path, tuple[_Stamp, object]] = {}
        self._bundled: dict[str, ModelCard] = {}

    def ids(self) -> tuple[str, ...]:
        """Return every model that is installed, sorted."""
        return tuple(sorted({*model_ids(), *self._imported()}))

    def is_bundled(self, model_id: str) -> bool:
        """Tell whether it came with Sightline."""
        return model_id in model_ids()

    def card(self, model_id: str) -> ModelCard:
        """Return one model's card; raise ModelMissing."""
        try:
            if model_id not in self._imported():
                if model_id not in self._bundled:
                    self._bundled[model_id] = card_of(model_id)
                return self._bundled[model_id]
            root = self._root(model_id)
            path = Path(str(root / model_id / "card.yaml"))
            return self._unchanged(path, lambda: card_of(model_id, root))
        except (LookupError, ValueError, OSError) as error:
            raise ModelMissing(f"The model {model_id} cannot be used: {error}.") from error

    def package(self, model_id: str) -> ModelPackage:
        """Return one model with its weights; raise ModelMissing, WeightsDigestMismatch."""
        try:
            return package_of(model_id, self._root(model_id))
        except WeightsChanged as error:
            raise WeightsDigestMismatch(
                f"The model {model_id} is not used: its weights are not those of its card. "
                "Import it again from where it came."
            ) from error
        except (LookupError, ValueError, OSError) as error:
            raise ModelMissing(f"The model {model_id} cannot be used: {error}.") from error

    def folder(self, model_id: str) -> Traversable:
        """Return the folder of an installed model."""
        return self._root(model_id) / model_id

    def enabled(self) -> EnabledModels:
        """Return what is enabled; without models.json the default model, for every EHR.

        Raises SettingsInvalid when models.json cannot be read.
        """
        path = None if self._data is None else self._data / ENABLED
        if path is None or _stamp(path) is None:
            return EnabledModels((self._default,))
        return self._unchanged(path, lambda: _enabled_in(path))

    def _imported(self) -> tuple[str, ...]:
        folder = self._data and self._data / IMPORTED
        return model_ids(folder) if folder and folder.is_dir() else ()

    def _root(self, model_id: str) -> Traversable:
        if (
            self._data is not None
            and model_id in self._imported()
            and not self.is_bundled(model_id)
        ):
            return self._data / IMPORTED
        return files("models")

    def _unchanged(self, path: Path, read: Callable[[], _Value]) -> _Value:
        """Return what was read from a file, read again when the file has changed."""
        stamp = _stamp(path)
        known = self._read.get(path)
        if known is not None and known[0] == stamp:
            return known[1]  # type: ignore[return-value]  # the path tells the kind
        value = read()
        self._read[path] = (stamp, value)
        return value


def identity_of(card: ModelCard) -> ModelIdentity:
    """Return which model this is, as results keep it."""
    return ModelIdentity(card.id, card.version, card.digest, card.title, card.label)


def intended_use_of(card: ModelCard) -> IntendedUse:
    """Return which images the model is for, as the guards read it."""
    use = card.intended_use
    return IntendedUse(
        modalities=use.modalities,
        body_parts=use.body_parts,
        views=use.views,
        min_age_days=use.min_age_days,
        max_age_days=use.max_age_days,
        population=use.population,
        projection=use.projection,
        frame=use.frame,
        series=series_rules_of(card.routing),
    )


def enabled_routes(shelf: ModelShelf, tenant_id: str) -> list[Route]:
    """Return the models enabled for a tenant; one that cannot be read is left out and logged.

    Raises ModelMissing when none is left.
    """
    routes = []
    missing: ModelMissing | None = None
    for model_id in shelf.enabled().of(tenant_id):
        try:
            card = shelf.card(model_id)
        except ModelMissing as error:
            log.error("model left out: %s", error)
            missing = error
        else:
            codes = frozenset(one.coding.code for one in card.findings)
            routes.append(Route(identity_of(card), intended_use_of(card), codes))
    if not routes:
        raise missing or ModelMissing("No model is enabled.")
    return routes


def write_enabled(data: Path, enabled: EnabledModels) -> None:
    """Write what is enabled, whole or not at all."""
    path = data / ENABLED
    document = {
        "everywhere": list(enabled.everywhere),
        "at_ehr": {tenant: list(ids) for tenant, ids in enabled.at_ehr.items() if ids},
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def _enabled_in(path: Path) -> EnabledModels:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        everywhere = tuple(map(str, document["everywhere"]))
        at_ehr = {str(one): tuple(map(str, ids)) for one, ids in document["at_ehr"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsInvalid(f"{path.name} in the data folder cannot be read.") from error
    return EnabledModels(everywhere, at_ehr)


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
