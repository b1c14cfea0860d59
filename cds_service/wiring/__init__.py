"""Where concrete meets abstract: the only package that knows every class.

Each process builds what it needs once: the web workers, each worker process, the supervisor and
the command line.
"""

from cds_service.wiring.app import app_services
from cds_service.wiring.check import checked_ehr
from cds_service.wiring.hooks import hook_services
from cds_service.wiring.house import (
    House,
    clock,
    new_id,
    open_house,
    prepare_installation,
    register_sandbox,
    results,
)
from cds_service.wiring.images import archive, study_at_ehr
from cds_service.wiring.intake import (
    archive_feeds,
    bell_door,
    dimse_listener,
    inbox,
    intake_desk,
    intake_poller,
    settlement,
    stow_door,
    subscribe_at,
)
from cds_service.wiring.work import (
    plan_workers,
    probe,
    queue_worker,
    sweep,
    warn_of_redis,
    workbench,
)

__all__ = [
    "House",
    "app_services",
    "archive",
    "archive_feeds",
    "bell_door",
    "checked_ehr",
    "clock",
    "dimse_listener",
    "hook_services",
    "inbox",
    "intake_desk",
    "intake_poller",
    "new_id",
    "open_house",
    "plan_workers",
    "prepare_installation",
    "probe",
    "queue_worker",
    "register_sandbox",
    "results",
    "settlement",
    "stow_door",
    "study_at_ehr",
    "subscribe_at",
    "sweep",
    "warn_of_redis",
    "workbench",
]
