"""The subscription door: an EHR rings when it has changed an ImagingStudy.

The body is never read, whatever the EHR sends: what changed, the EHR is asked with our own token.
Who may ring is who knows the secret part of the path and the header; everybody else is told that
there is nothing here.

Source: FHIR R4 Subscription 2.46.7.1 (rest-hook: POST, or PUT to [endpoint]/[type]/[id] with a
payload); HAPI FHIR's `subscription-send-delete-messages` (DELETE there); threats T7 and T18.
"""

from collections.abc import Callable
from typing import cast

from flask import Blueprint, Response, current_app, request

from cds_service.web.caller import calling_from

EXTENSION = "sightline-bell"  # its place in Flask's `app.extensions`
PATH = "/intake/subscription"

blueprint = Blueprint("subscription", __name__, url_prefix=PATH)

Hear = Callable[[str, str, str], None]  # last part of the path, Authorization header, from where


@blueprint.post("/<secret>")
@blueprint.route("/<secret>/ImagingStudy/<_study_id>", methods=["POST", "PUT", "DELETE"])
def ring(secret: str, _study_id: str = "") -> Response:
    """Answer 204 once the bell is heard; 404 for a wrong bell, 429 for one that rings too often."""
    hear = cast(Hear, current_app.extensions[EXTENSION])
    hear(secret, request.headers.get("Authorization", ""), calling_from())
    return Response(status=204)
