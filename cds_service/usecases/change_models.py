"""Change which models are installed and asked, and leave a line in the audit log for each try.

Source: docs/reference/models.md, "Commands"; IHE BALP 1.1.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import ModelIdentity
from cds_service.errors import SightlineError
from cds_service.usecases.note_change import ADMINISTRATOR
from cds_service.usecases.ports import AuditLog, Clock


@dataclass(frozen=True, slots=True)
class ModelChanges:
    """Makes changes of the models of one installation."""

    audit: AuditLog
    clock: Clock

    def make(
        self,
        action: AuditAction,
        change: Callable[[], ModelIdentity],
        *,
        named: str,
        tenant_id: str | None = None,
    ) -> ModelIdentity:
        """Make the change and return the model that it was about.

        named       what the administrator called it, for the line about a change that failed
        tenant_id   the only EHR that it is for; None: every one
        """
        try:
            model = change()
        except SightlineError as error:
            self._note(action, type(error).__name__, f"model {named}", tenant_id)
            raise
        self._note(action, "success", f"model {model.id} {model.version} {model.digest}", tenant_id)
        return model

    def _note(self, action: AuditAction, outcome: str, detail: str, tenant_id: str | None) -> None:
        self.audit.record(
            AuditEvent(
                action=action,
                at=self.clock(),
                tenant_id=tenant_id,
                agent=ADMINISTRATOR,
                outcome=outcome,
                detail=detail,
            )
        )
