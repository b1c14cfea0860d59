"""Orders in the chart: drafted, signed, sent, removed, and the hook that each step fires.

Source: CDS Hooks Library 1.0.1 (order-select, order-sign, order-dispatch).
"""

from typing import Any

from flask import Blueprint, Response, abort

from cds_service.sandbox import ehr_client, orders
from cds_service.sandbox.card_view import references_of
from cds_service.sandbox.chart_answer import answer, json_body
from cds_service.sandbox.ehr_client import ServiceCards
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.records import RADIOLOGIST_ID

blueprint = Blueprint("orders", __name__, url_prefix="/chart/<patient_id>/orders")


@blueprint.post("")
def draft_order(patient_id: str) -> Response:
    """Draft an order from the catalogue and fire order-select for it."""
    what = orders.procedure(str(json_body().get("procedure")))
    if what is None:
        abort(400)
    order = orders.draft(sandbox_parts(), patient_id, what)
    hook = ehr_client.ORDER_SELECT
    selected = {"selections": [_reference(order)], **_draft_orders(patient_id)}
    fired = ehr_client.fire(sandbox_parts(), patient_id, hook, selected)
    word = "a card is about it" if _undecided(patient_id, fired, order) else "no card is about it"
    return answer(patient_id, fired, note=f"{what.name} drafted: {word} ({hook})")


@blueprint.post("/<order_id>/sign")
def sign_order(patient_id: str, order_id: str) -> Response:
    """Fire order-sign and sign, unless a card is about this order; `anyway` signs all the same."""
    is_anyway = json_body().get("anyway") is True
    order, hook = _order(patient_id, order_id), ehr_client.ORDER_SIGN
    fired: tuple[ServiceCards, ...] = ()
    if not is_anyway:
        more = _draft_orders(patient_id)
        fired = ehr_client.fire(sandbox_parts(), patient_id, hook, more)
        if _undecided(patient_id, fired, order):
            note = f"Not signed yet: a card is about this order ({hook})"
            return answer(patient_id, fired, note=note, held=order_id)
    orders.sign(sandbox_parts(), order)
    return answer(patient_id, fired, note=f"Signed ({hook})")


@blueprint.post("/<order_id>/remove")
def remove_order(patient_id: str, order_id: str) -> Response:
    """Take a draft away."""
    json_body()
    orders.remove(sandbox_parts(), _order(patient_id, order_id))
    return answer(patient_id, note="Draft removed")


@blueprint.post("/<order_id>/dispatch")
def dispatch_order(patient_id: str, order_id: str) -> Response:
    """Send a signed order to radiology and fire order-dispatch."""
    json_body()
    order = orders.send_to_radiology(sandbox_parts(), _order(patient_id, order_id))
    hook = ehr_client.ORDER_DISPATCH
    sent = {
        "dispatchedOrders": [_reference(order)],
        "performer": f"Practitioner/{RADIOLOGIST_ID}",
    }
    fired = ehr_client.fire(sandbox_parts(), patient_id, hook, sent)
    return answer(patient_id, fired, note=f"Sent to radiology ({hook})")


def _order(patient_id: str, order_id: str) -> Resource:
    """Return an order of this patient; answer 404 for any other."""
    order = sandbox_parts().fhir.read("ServiceRequest", order_id)
    if order is None or order["subject"]["reference"] != f"Patient/{patient_id}":
        abort(404)
    return order


def _draft_orders(patient_id: str) -> dict[str, Any]:
    unsigned = orders.drafts(sandbox_parts(), patient_id)
    return {"draftOrders": orders.as_bundle(sandbox_parts(), unsigned)}


def _undecided(patient_id: str, fired: tuple[ServiceCards, ...], order: Resource) -> bool:
    """Tell whether a card would change this order and nobody has answered the card yet."""
    known = sandbox_parts().conversation
    return any(
        _reference(order) in references_of(card)
        and not known.is_decided(patient_id, card.get("uuid"), _reference(order))
        for answer in fired
        for card in answer.cards
    )


def _reference(order: Resource) -> str:
    return f"ServiceRequest/{order['id']}"
