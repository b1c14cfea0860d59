"""The parts of one running sandbox, as its routes and its chart see them."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from cds_service.sandbox.archive_store import ArchiveStore
from cds_service.sandbox.authorization import Authorization
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.conversation import Conversation
from cds_service.sandbox.fhir_store import FhirStore

EXTENSION = "sandbox"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The record, the archive, the authorization server and the CDS memory of one EHR."""

    config: SandboxConfig
    fhir: FhirStore
    archive: ArchiveStore
    authorization: Authorization
    conversation: Conversation


def open_sandbox(config: SandboxConfig) -> Sandbox:
    """Open (or make) the sandbox that lives in `config.data`."""
    return Sandbox(
        config=config,
        fhir=FhirStore(config.data / "fhir.sqlite", now=config.now),
        archive=ArchiveStore(config.data / "archive"),
        authorization=Authorization(config),
        conversation=Conversation(),
    )


def sandbox_parts() -> Sandbox:
    """Return the sandbox that serves the current request."""
    return cast(Sandbox, current_app.extensions[EXTENSION])
