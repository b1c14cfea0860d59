"""What the clinician decides about a card, and what the EHR and the service said about it.

Source: CDS Hooks 2.0 "Suggestion", "Feedback".
"""

from flask import Blueprint, Response, abort, render_template

from cds_service.sandbox import ehr_client
from cds_service.sandbox.chart_answer import answer, json_body
from cds_service.sandbox.outcomes import BusinessRule, Resource, SandboxRefusal
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.said_view import DIALECT, exchange_view
from cds_service.sandbox.suggested_actions import carry_out

blueprint = Blueprint("feedback", __name__, url_prefix="/chart/<patient_id>")


@blueprint.post("/feedback")
def feedback(patient_id: str) -> Response:
    """Carry out an accepted suggestion and report the decision; `failure` is null if both went."""
    stated = json_body()
    uuid, reason = str(stated.get("card")), stated.get("reason")
    if reason is not None and not isinstance(reason, dict):
        abort(400)
    shown = sandbox_parts().conversation.card(patient_id, uuid)
    if shown is None:
        return answer(patient_id, failure="This EHR started anew since. Ask again.")
    decision = ehr_client.Decision(
        card_uuid=uuid,
        is_accepted=stated.get("outcome") == "accepted",
        suggestion=stated.get("suggestion"),
        reason=reason,
        comment=stated.get("comment"),
    )
    try:
        if decision.is_accepted:
            carry_out(sandbox_parts(), patient_id, _actions(shown.card, decision.suggestion))
    except SandboxRefusal as refusal:
        return answer(patient_id, failure=f"This EHR refused it: {refusal}.")
    failure = ehr_client.send_feedback(sandbox_parts(), patient_id, shown.service_id, decision)
    return answer(patient_id, failure=failure)


@blueprint.get("/said")
def said(patient_id: str) -> str:
    """Return the calls of the chart's last event."""
    exchanges = map(exchange_view, sandbox_parts().conversation.last(patient_id))
    return render_template("chart/_said.html", exchanges=list(exchanges), dialect=DIALECT)


def _actions(card: Resource, suggestion: str | None) -> list[Resource]:
    chosen = [one for one in card.get("suggestions") or [] if one.get("uuid") == suggestion]
    if suggestion is not None and not chosen:
        raise BusinessRule("the card has no such suggestion")
    return [action for one in chosen for action in one.get("actions") or []]
