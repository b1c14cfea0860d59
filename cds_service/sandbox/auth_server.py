"""The authorization server's routes: authorize, token, introspect, keys and discovery.

The EHR's user is signed in already and trusts its apps, so an EHR launch is answered at once;
in a standalone launch the user picks a patient, or who they are, and each choice on that page is
a launch.

Source: SMART App Launch 2.2; RFC 6749 4.1, 5; RFC 7662; RFC 9207 (iss in the answer).
"""

from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from cds_service.sandbox.authorize_request import (
    AuthorizeRequest,
    client_to_answer,
    parse_authorize_request,
)
from cds_service.sandbox.bearer import bearer_text
from cds_service.sandbox.client_assertion import OAuthRefusal
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.patients import CLINICIAN_NAME
from cds_service.sandbox.smart_configuration import openid_configuration

BODY_LIMIT = 64 * 1024  # bytes
STYLE = {
    "color_background": "#f1f4f5",
    "color_text": "#16232a",
    "dim_border_radius": "4px",
    "font_family_body": "sans-serif",
}

blueprint = Blueprint("auth", __name__, url_prefix="/auth", template_folder="templates")


@blueprint.before_request
def bound_body() -> None:
    """Read no more than any of these forms needs."""
    request.max_content_length = BODY_LIMIT


@blueprint.after_request
def keep_private(response: Response) -> Response:
    """Let nothing of a launch stay in a cache, a Referer or somebody else's frame."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Pragma"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'self'"
    )
    return response


@blueprint.route("/authorize", methods=["GET", "POST"])
def authorize() -> AnyResponse:
    """Send the browser back to the app with a code, or with an error."""
    authorization = sandbox_parts().authorization
    try:
        params = _single_values(request.form if request.method == "POST" else request.args)
        client = client_to_answer(params, authorization.clients)
    except OAuthRefusal as refusal:
        page = render_template("auth/refused.html", sentence=str(refusal))
        return Response(page, status=400)
    try:
        wanted = parse_authorize_request(params, client, authorization.audiences)
        if wanted.launch is None and wanted.wants_patient:
            return _patient_picker(params, wanted)
        users = sandbox_parts().fhir.search("Practitioner", {})
        if wanted.launch is None and wanted.login is None and len(users) > 1:
            return _user_picker(params, wanted, users)
        answer = {"code": authorization.authorize(wanted)}
    except OAuthRefusal as refusal:
        answer = {"error": refusal.error, "error_description": str(refusal)}
    if "state" in params:
        answer["state"] = params["state"]
    answer["iss"] = sandbox_parts().config.auth_base
    return redirect(_with_query(params["redirect_uri"], answer), code=303)


@blueprint.post("/token")
def token() -> Response:
    """Answer with a token, or with an error of RFC 6749 5.2."""
    authorization = request.headers.get("Authorization")
    return jsonify(sandbox_parts().authorization.token(_form(), authorization))


@blueprint.post("/introspect")
def introspect() -> Response:
    """Tell an authenticated client, or the holder of a token in force, what a token stands for."""
    authorization, form = sandbox_parts().authorization, _form()
    bearer = bearer_text()
    if bearer is None:
        authorization.authenticate(form)
    elif authorization.access(bearer) is None:
        raise OAuthRefusal("invalid_token", "the bearer token is not in force", http_status=401)
    if "token" not in form:
        raise OAuthRefusal("invalid_request", "token is missing")
    return jsonify(authorization.introspect(form["token"]))


@blueprint.get("/jwks.json")
def jwks() -> Response:
    """Publish the keys that sign id_tokens and hook calls."""
    response = jsonify(sandbox_parts().authorization.keys.public_jwks())
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


@blueprint.get("/style.json")
def style() -> Response:
    """Publish the chart's colours and sizes (SMART "smart_style_url")."""
    return jsonify(STYLE)


@blueprint.get("/.well-known/openid-configuration")
def discovery() -> Response:
    """Publish the OpenID Connect provider's metadata."""
    return jsonify(openid_configuration(sandbox_parts().config))


@blueprint.context_processor
def layout_names() -> dict[str, str]:
    """Name the signed-in user, as the chart's layout shows it."""
    return {"clinician": CLINICIAN_NAME}


@blueprint.errorhandler(OAuthRefusal)
def refused(refusal: OAuthRefusal) -> Response:
    """Answer a refused token or introspection request."""
    response = jsonify(error=refusal.error, error_description=str(refusal))
    response.status_code = refusal.http_status
    return response


def _form() -> dict[str, str]:
    if request.mimetype != "application/x-www-form-urlencoded":
        raise OAuthRefusal("invalid_request", "send application/x-www-form-urlencoded")
    return _single_values(request.form)


def _single_values(values: MultiDict[str, str]) -> dict[str, str]:
    """Return the parameters; a repeated one is refused (RFC 6749 3.1, 3.2)."""
    if any(len(several) > 1 for several in values.listvalues()):
        raise OAuthRefusal("invalid_request", "A parameter was sent twice.")
    return values.to_dict()


def _patient_picker(params: dict[str, str], wanted: AuthorizeRequest) -> Response:
    parts = sandbox_parts()
    choices = [
        {
            "name": _name_of(patient),
            "born": patient.get("birthDate", ""),
            "launch": parts.authorization.new_launch(
                patient["id"], parts.config.clinician, client_id=wanted.client.client_id
            ),
        }
        for patient in parts.fhir.search("Patient", {})
    ]
    app = wanted.client.client_id
    return Response(
        render_template("auth/pick_patient.html", app=app, params=params, choices=choices)
    )


def _user_picker(
    params: dict[str, str], wanted: AuthorizeRequest, users: list[Resource]
) -> Response:
    authorization = sandbox_parts().authorization
    app = wanted.client.client_id
    choices = [
        {
            "name": _name_of(user),
            "login": authorization.new_launch(None, f"Practitioner/{user['id']}", client_id=app),
        }
        for user in users
    ]
    return Response(render_template("auth/pick_user.html", app=app, params=params, choices=choices))


def _name_of(patient: Resource) -> str:
    name: Resource = next(iter(patient.get("name", [])), {})
    return name.get("text") or " ".join([*name.get("given", []), name.get("family", "")]).strip()


def _with_query(url: str, params: dict[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(params)) if part)
    return urlunsplit(parts._replace(query=query))
