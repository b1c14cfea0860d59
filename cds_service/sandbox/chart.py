"""The chart page: patient list, banner, studies, results, the cards and the app's frame.

Source: CDS Hooks 2.0 (patient-view at chart open); SMART App Launch 2.2 (embedded launch);
CSP Level 3 (frame-src, frame-ancestors).
"""

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, jsonify, render_template, request

from cds_service.sandbox import ehr_client
from cds_service.sandbox.card_view import card_view, says_running
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.patients import CLINICIAN_NAME
from cds_service.sandbox.record_view import PatientView, patient_view, result_views, study_views

blueprint = Blueprint(
    "chart",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/chart-static",
)


@blueprint.route("/", methods=["GET", "POST"])
def patient_list() -> str:
    """Show everybody, or those the search names; a POST keeps the words out of the address."""
    words = request.form.get("words", "").strip()
    people = [view for view in _people() if words.lower() in f"{view.name} {view.mrn}".lower()]
    return render_template("chart/list.html", people=people, words=words)


@blueprint.get("/chart/<patient_id>")
def chart(patient_id: str) -> str:
    """Show one chart; its cards are fetched by the page once it is shown."""
    people = _people()
    patient = next((view for view in people if view.id == patient_id), None)
    if patient is None:
        abort(404)
    return render_template(
        "chart/chart.html",
        people=people,
        patient=patient,
        studies=study_views(_about("ImagingStudy", patient_id)),
        results=_results(patient_id),
    )


@blueprint.get("/chart/<patient_id>/cards")
def cards(patient_id: str) -> Response:
    """Fire patient-view and return what to show in the rail.

    `state` is cards, quiet (the service had nothing to say) or failed; `running` asks the page to
    come again.
    """
    _require_patient(patient_id)
    answer = ehr_client.open_chart(sandbox_parts(), patient_id)
    launch = sandbox_parts().config.app_launch_url
    studies = _about("ImagingStudy", patient_id)
    html = render_template(
        "chart/_cards.html",
        cards=[card_view(card, launch) for card in answer.cards],
        failure=answer.failure,
        refused=answer.refused,
        # appContext is opaque to an EHR, so only a sole study is certain to be the card's.
        study_id=studies[0]["id"] if len(studies) == 1 else None,
    )
    state = "failed" if answer.failure else "cards" if answer.cards else "quiet"
    return jsonify(state=state, running=says_running(answer.cards), html=html)


@blueprint.get("/chart/<patient_id>/results")
def results(patient_id: str) -> str:
    """Return the results section as it stands now."""
    _require_patient(patient_id)
    return render_template("chart/_results.html", results=_results(patient_id))


@blueprint.post("/chart/<patient_id>/launch")
def launch(patient_id: str) -> Response:
    """Register a launch and return the address the frame opens."""
    _require_patient(patient_id)
    wanted = _json_body()
    study_id = wanted.get("study")
    if study_id and study_id not in {study["id"] for study in _about("ImagingStudy", patient_id)}:
        abort(404)
    return jsonify(
        url=ehr_client.launch_url(sandbox_parts(), patient_id, study_id, wanted.get("appContext"))
    )


@blueprint.post("/chart/<patient_id>/feedback")
def feedback(patient_id: str) -> Response:
    """Pass on what the clinician did with a card; `failure` says what went wrong, or is null."""
    _require_patient(patient_id)
    stated = _json_body()
    reason = stated.get("reason")
    if reason is not None and not isinstance(reason, dict):
        abort(400)
    decision = ehr_client.Decision(
        card_uuid=str(stated.get("card")),
        is_accepted=stated.get("outcome") == "accepted",
        suggestion=stated.get("suggestion"),
        reason=reason,
        comment=stated.get("comment"),
    )
    return jsonify(failure=ehr_client.send_feedback(sandbox_parts(), decision))


@blueprint.errorhandler(404)
def not_found(_: Exception) -> tuple[str, int]:
    """Say in one sentence that there is no such chart."""
    return render_template("chart/not_found.html"), 404


@blueprint.context_processor
def clinician() -> dict[str, str]:
    """Give every page the name of the signed-in clinician."""
    return {"clinician": CLINICIAN_NAME}


@blueprint.after_request
def guard(response: Response) -> Response:
    """Let the page load only itself and frame only the app."""
    app = urlsplit(sandbox_parts().config.app_launch_url)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'self'; frame-src 'self' {app.scheme}://{app.netloc}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    if request.endpoint != "chart.static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _people() -> list[PatientView]:
    today = sandbox_parts().config.now().date()
    patients = sandbox_parts().fhir.search("Patient", {})
    views = [patient_view(item, _about("Encounter", item["id"]), today) for item in patients]
    return sorted(views, key=lambda view: view.mrn)


def _about(type_: str, patient_id: str) -> list[dict[str, Any]]:
    return sandbox_parts().fhir.search(type_, {"patient": patient_id})


def _results(patient_id: str) -> list[Any]:
    return result_views(_about("DiagnosticReport", patient_id), _about("Observation", patient_id))


def _require_patient(patient_id: str) -> None:
    if sandbox_parts().fhir.read("Patient", patient_id) is None:
        abort(404)


def _json_body() -> dict[str, Any]:
    """Read a JSON object; a form of another site cannot send one without being asked first."""
    body = request.get_json()
    if not isinstance(body, dict):
        abort(400)
    return body
