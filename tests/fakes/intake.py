"""What the intake doors keep, in memory, held to the same contract tests as the real ones."""

from collections.abc import Mapping
from typing import Any

from cds_service.domain.intake import Bell, Door


class FakeCursors:
    """IntakeCursors."""

    def __init__(self) -> None:
        self._positions: dict[tuple[str, Door], dict[str, Any]] = {}

    def position(self, tenant_id: str, door: Door) -> Mapping[str, Any]:
        return self._positions.get((tenant_id, door), {})

    def keep(self, tenant_id: str, door: Door, position: Mapping[str, Any]) -> None:
        self._positions[tenant_id, door] = dict(position)


class FakeBells:
    """IntakeBells."""

    def __init__(self) -> None:
        self._bells: dict[str, Bell] = {}

    def hang(self, bell: Bell) -> None:
        self._bells[bell.tenant_id] = bell

    def of(self, tenant_id: str) -> Bell | None:
        return self._bells.get(tenant_id)

    def at(self, path_digest: str) -> Bell | None:
        return next((one for one in self._bells.values() if one.path_digest == path_digest), None)
