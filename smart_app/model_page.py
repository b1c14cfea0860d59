"""A model's card as a page for everybody: no session, and nothing about any patient.

Source: 45 CFR 170.315(b)(11)(iv) (source attributes); CDS Hooks 2.0 "Source" (`url`).
"""

from flask import Response, make_response, render_template

from cds_service.fhir.chai_card import chai_card
from cds_service.fhir.model_card import logical_id
from smart_app.services import services


def page(model_id: str) -> Response:
    """Answer the card of an installed model, or a page that says there is none (404)."""
    sheet = services().model_sheet(model_id)
    if sheet is None:
        return _absent()
    fhir_url = f"{services().public_url}/fhir/Bundle/{logical_id(sheet.identity)}"
    return make_response(render_template("app/model.html", sheet=sheet, fhir_url=fhir_url))


def chai(model_id: str) -> Response:
    """Answer the card in CHAI's format."""
    sheet = services().model_sheet(model_id)
    if sheet is None:
        return _absent()
    page_url = f"{services().public_url}/app/models/{sheet.identity.id}"
    return Response(chai_card(sheet, page_url=page_url), mimetype="application/xml")


def _absent() -> Response:
    return make_response(render_template("app/no_model.html", label=services().label), 404)
