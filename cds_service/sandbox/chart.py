"""The chart page: patient list, banner, studies, results, the cards and the app's frame.

Source: CDS Hooks Library 1.0.1 (patient-view at chart open); SMART App Launch 2.2 (embedded
launch); CSP Level 3 (frame-src, frame-ancestors).
"""

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, jsonify, render_template, request

from cds_service.sandbox import chart_feedback, chart_orders, chart_visit, ehr_client
from cds_service.sandbox.chart_answer import (
    about,
    json_body,
    orders_html,
    rail,
    require_patient,
    visit_html,
)
from cds_service.sandbox.orders import CATALOGUE
from cds_service.sandbox.outcomes import SandboxRefusal
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
for part in (chart_orders, chart_visit, chart_feedback):
    blueprint.register_blueprint(part.blueprint)


@blueprint.before_request
def known_patient() -> None:
    """Answer 404 in a chart that is not there."""
    if patient_id := (request.view_args or {}).get("patient_id"):
        require_patient(patient_id)


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
    patient = next(view for view in people if view.id == patient_id)
    return render_template(
        "chart/chart.html",
        people=people,
        patient=patient,
        studies=study_views(about("ImagingStudy", patient_id)),
        results=_results(patient_id),
        catalogue=CATALOGUE,
        orders=orders_html(patient_id),
        visit=visit_html(patient_id),
    )


@blueprint.get("/chart/<patient_id>/cards")
def cards(patient_id: str) -> Response:
    """Fire patient-view and return what to show in the rail (`chart_answer.rail`)."""
    hook = ehr_client.PATIENT_VIEW
    return jsonify(
        **rail(patient_id, ehr_client.fire(sandbox_parts(), patient_id, hook)),
        note=f"Chart opened ({hook})",
    )


@blueprint.get("/chart/<patient_id>/results")
def results(patient_id: str) -> str:
    """Return the results section as it stands now."""
    return render_template("chart/_results.html", results=_results(patient_id))


@blueprint.post("/chart/<patient_id>/launch")
def launch(patient_id: str) -> Response:
    """Register a launch and return the address the frame opens."""
    wanted = json_body()
    study_id = wanted.get("study")
    if study_id and study_id not in {study["id"] for study in about("ImagingStudy", patient_id)}:
        abort(404)
    return jsonify(
        url=ehr_client.launch_url(sandbox_parts(), patient_id, study_id, wanted.get("appContext"))
    )


@blueprint.errorhandler(SandboxRefusal)
def refused(refusal: SandboxRefusal) -> tuple[Response, int]:
    """Say to the page why this EHR did not do it."""
    return jsonify(failure=f"This EHR refused it: {refusal}."), refusal.http_status


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
    views = [patient_view(item, about("Encounter", item["id"]), today) for item in patients]
    return sorted(views, key=lambda view: view.mrn)


def _results(patient_id: str) -> list[Any]:
    return result_views(about("DiagnosticReport", patient_id), about("Observation", patient_id))
