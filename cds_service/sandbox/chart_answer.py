"""What every act in the chart answers: the rail's cards by service, the orders, the visit.

Source: CDS Hooks 2.0 "Update Stale Guidance" (the cards of one service id replace one another).
"""

from collections.abc import Sequence
from typing import Any

from flask import Response, abort, jsonify, render_template, request

from cds_service.sandbox.card_view import card_view, says_running
from cds_service.sandbox.ehr_client import ServiceCards
from cds_service.sandbox.order_view import order_views
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.record_view import words
from cds_service.sandbox.visits import open_visit


def answer(
    patient_id: str,
    fired: Sequence[ServiceCards] = (),
    *,
    held: str | None = None,
    is_leaving: bool = False,
    **more: str | None,
) -> Response:
    """Answer an act: what the hook brought, the orders and the visit as they now stand.

    held   id of a draft that is not signed because of a card
    more   `note`, a sentence on what was done; `failure`, one on what was not
    """
    return jsonify(
        **rail(patient_id, fired),
        orders=orders_html(patient_id, held),
        visit=visit_html(patient_id, is_leaving=is_leaving),
        **more,
    )


def rail(patient_id: str, answers: Sequence[ServiceCards]) -> dict[str, Any]:
    """Return what a hook brought: one group for each service, and whether to ask again.

    A group's `state` is cards, quiet (the service had nothing to say) or failed.
    """
    return {
        "groups": [_group(patient_id, answer) for answer in answers],
        "again": any(answer.failure or says_running(answer.cards) for answer in answers),
    }


def orders_html(patient_id: str, held: str | None = None) -> str:
    """Return the orders as they stand; `held` is a draft that a card is about."""
    views = order_views(about("ServiceRequest", patient_id), about("Task", patient_id))
    return render_template("chart/_orders.html", orders=views, held=held)


def visit_html(patient_id: str, *, is_leaving: bool = False) -> str:
    """Return what can be done with the visit now."""
    visit = open_visit(sandbox_parts(), patient_id)
    reasons = [words(reason) for reason in (visit or {}).get("reasonCode", [])]
    return render_template(
        "chart/_visit.html",
        going_on=visit is not None,
        reason=", ".join(reasons),
        is_leaving=is_leaving,
    )


def about(type_: str, patient_id: str) -> list[Resource]:
    """Return the patient's resources of one type."""
    return sandbox_parts().fhir.search(type_, {"patient": patient_id})


def require_patient(patient_id: str) -> None:
    """Answer 404 unless there is such a patient."""
    if sandbox_parts().fhir.read("Patient", patient_id) is None:
        abort(404)


def json_body() -> dict[str, Any]:
    """Read a JSON object; a form of another site cannot send one without being asked first."""
    body = request.get_json()
    if not isinstance(body, dict):
        abort(400)
    return body


def _group(patient_id: str, answer: ServiceCards) -> dict[str, str]:
    studies = about("ImagingStudy", patient_id)
    launch = sandbox_parts().config.app_launch_url
    html = render_template(
        "chart/_cards.html",
        cards=[card_view(card, launch) for card in answer.cards],
        failure=answer.failure,
        refused=answer.refused,
        title=answer.title,
        # appContext is opaque to an EHR, so only a sole study is certain to be the card's.
        study_id=studies[0]["id"] if len(studies) == 1 else None,
    )
    state = "failed" if answer.failure else "cards" if answer.cards else "quiet"
    return {"service": answer.service_id, "state": state, "html": html}
