"""What the front door of the hooks needs from the house: one frozen value, made by the wiring."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from flask import current_app

from cds_service.domain.card import Card, Feedback
from cds_service.domain.hook import HookCall
from cds_service.domain.model_sheet import ModelSheet
from cds_service.domain.tenant import Tenant
from cds_service.usecases.compose_card import CardModel
from cds_service.usecases.ports import AuditLog, Clock
from cds_service.web.client_trust import ClientTrust

EXTENSION = "sightline"  # its place in Flask's `app.extensions`


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of `web/`; blueprints read them from the current application."""

    public_url: str  # no trailing slash; audiences are compared with it, never with Host
    hook_deadline_s: float
    hook_body_limit_bytes: int
    client_trust: ClientTrust
    answer_hook: Callable[[HookCall, Tenant, float], Sequence[Card]]  # the last: seconds left
    record_feedback: Callable[[Sequence[Feedback]], int]
    seal_context: Callable[[str, str], str]  # tenant, appContext -> a text for a URL
    audit: AuditLog
    clock: Clock
    models: Callable[[], Sequence[CardModel]]  # that are enabled everywhere just now
    model_sheet: Callable[[str], ModelSheet | None]  # of the installed model with this FHIR id
    is_ledger_up: Callable[[], bool]
    is_queue_up: Callable[[], bool]
    oldest_wait: Callable[[], timedelta | None]  # of a job that no worker has taken
    # For so many seconds the ledger may keep whoever asks waiting, then it is LedgerUnavailable.
    within: Callable[[float], AbstractContextManager[object]] = nullcontext


def services() -> Services:
    """Return the services of the current application."""
    return cast(Services, current_app.extensions[EXTENSION])
