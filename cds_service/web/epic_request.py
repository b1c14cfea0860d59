"""What Epic says about a hook beside the hook: one log line for the administrator.

The criteria and the trigger tell which of the site's rules fired; a request without anything in it
tells that the endpoint is not registered. Numbers are logged and nothing else: Epic adds a user's
id under a name of its own.

Source: Epic's CDS Hooks tutorial (2024), "Request" and "Registration".
"""

import logging
from collections.abc import Mapping

from cds_service.domain.tenant import Tenant

log = logging.getLogger(__name__)

PREFIX = "com.epic.cdshooks.request."
NUMBER_LIMIT = 20  # digits
# Epic always sends the first; a request without any of them was stripped on its way out.
SUBSTANCE = ("fhirServer", "fhirAuthorization", "prefetch")


def note_epic_request(body: object, tenant: Tenant, *, address: str, request_id: str) -> None:
    """Log what an Epic request says about itself; a body that is no object says nothing."""
    if not isinstance(body, Mapping):
        return
    extension = body.get("extension")
    log.info(
        "epic request: ehr=%r trigger_action=%s criteria=%s request=%s",
        tenant.name,
        _number(extension, "bpa-trigger-action"),
        _number(extension, "criteria-id"),
        request_id,
    )
    if not any(body.get(name) for name in SUBSTANCE):
        log.warning(
            "epic request without information: endpoint URI not registered? ehr=%r address=%s "
            "request=%s",
            tenant.name,
            address,
            request_id,
        )


def _number(extension: object, name: str) -> str:
    value = extension.get(f"{PREFIX}{name}") if isinstance(extension, Mapping) else None
    text = str(value) if isinstance(value, str | int) else ""
    is_number = text.isascii() and text.isdigit() and len(text) <= NUMBER_LIMIT
    return text if is_number else "-"
