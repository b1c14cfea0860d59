"""Is it alive, is it ready: for supervisors, load balancers and people.

Without the ledger no client can be trusted, so the service is not ready; without the queue it
answers as before, and jobs wait for the sweep.
"""

from flask import Blueprint, Response, jsonify

from cds_service.web.services import services

blueprint = Blueprint("health", __name__, url_prefix="/health")


@blueprint.get("/live")
def live() -> Response:
    """Answer as long as the process can."""
    return jsonify(status="live")


@blueprint.get("/ready")
def ready() -> Response:
    """Answer 200 when hooks can be answered, with what is away; else 503.

    For how long the oldest job has waited says whether any worker works; hooks do without.
    """
    here = services()
    is_ledger_up, is_queue_up = here.is_ledger_up(), here.is_queue_up()
    state = "ready" if is_queue_up else "degraded"
    wait = here.oldest_wait() if is_ledger_up else None
    response = jsonify(
        status=state if is_ledger_up else "unavailable",
        ledger="up" if is_ledger_up else "away",
        queue="up" if is_queue_up else "away",
        oldest_waiting_s=None if wait is None else int(wait.total_seconds()),
    )
    response.status_code = 200 if is_ledger_up else 503
    response.headers["Cache-Control"] = "no-store"
    return response
