"""What the clinician decides about a card, and what the EHR and the service said about it.

Source: CDS Hooks 2.0 "Suggestion", "Feedback".
"""

from typing import Any

from flask import Blueprint, Response, abort, render_template

from cds_service.sandbox import ehr_client
from cds_service.sandbox.card_view import references_of
from cds_service.sandbox.chart_answer import answer, json_body
from cds_service.sandbox.outcomes import BusinessRule, Resource
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.said_view import DIALECT, exchange_view
from cds_service.sandbox.suggested_actions import carry_out

blueprint = Blueprint("feedback", __name__, url_prefix="/chart/<patient_id>")


@blueprint.post("/feedback")
def feedback(patient_id: str) -> Response:
    """Carry out an accepted suggestion and report the decision.

    `note` says what was done, or is left out; `failure` says what the service was not told.
    """
    decision, talk = _decision(json_body()), sandbox_parts().conversation
    shown = talk.card(patient_id, decision.card_uuid)
    if shown is None:
        raise BusinessRule("it has started anew since; ask again")
    actions = _actions(shown.card, decision.suggestion) if decision.is_accepted else []
    carry_out(sandbox_parts(), patient_id, actions)
    failure = ehr_client.send_feedback(sandbox_parts(), patient_id, shown.service_id, decision)
    for order in references_of(shown.card) if failure is None else ():
        talk.decide(patient_id, decision.card_uuid, order)
    if done := "; ".join(str(one.get("description")) for one in actions):
        return answer(patient_id, failure=failure, note=f"Done: {done}")
    return answer(patient_id, failure=failure)


@blueprint.get("/said")
def said(patient_id: str) -> str:
    """Return the calls of the chart's last event."""
    exchanges = map(exchange_view, sandbox_parts().conversation.last(patient_id))
    return render_template("chart/_said.html", exchanges=list(exchanges), dialect=DIALECT)


def _decision(stated: dict[str, Any]) -> ehr_client.Decision:
    reason = stated.get("reason")
    if reason is not None and not isinstance(reason, dict):
        abort(400)
    return ehr_client.Decision(
        card_uuid=str(stated.get("card")),
        is_accepted=stated.get("outcome") == "accepted",
        suggestion=stated.get("suggestion"),
        reason=reason,
        comment=stated.get("comment"),
    )


def _actions(card: Resource, suggestion: str | None) -> list[Resource]:
    chosen = [one for one in card.get("suggestions") or [] if one.get("uuid") == suggestion]
    if suggestion is not None and not chosen:
        raise BusinessRule("the card has no such suggestion")
    return [action for one in chosen for action in one.get("actions") or []]
