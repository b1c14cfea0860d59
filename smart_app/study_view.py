"""The study page: patient, image, finding, and what became of a study without one.

Source: architecture "How pages look"; SMART App Launch 2.2 "need_patient_banner".
"""

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify, make_response, render_template, request, url_for

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import Result
from cds_service.usecases.finding_history import analysing_after, newest_after
from smart_app import reasons, words
from smart_app.chart import banner_of
from smart_app.model_facts import release_day
from smart_app.open_launch import OpenLaunch, within_launch
from smart_app.picture import stands_out
from smart_app.priors import Priors, priors_of
from smart_app.review import review_values
from smart_app.study_choice import StudyChoice, Unread, choose_study, with_analysis
from smart_app.worklist import way_back


@within_launch
def study(launch: OpenLaunch) -> Response:
    """Show the whole page."""
    choice, unread = _chosen(launch)
    choice = choice and with_analysis(launch, choice)
    shown = choice.result if choice else None
    # Asked for on every page, shown on some: a sign-in that the EHR has ended opens no chart.
    banner = banner_of(launch)
    owner = (launch.session.tenant_id, launch.session.patient_id)
    others = [
        result
        for result in launch.house.results.studies_of(*owner)
        if shown is None or result.id != shown.id
    ]
    page = render_template(
        "app/study.html",
        **_panel(launch, choice, unread),
        banner=banner if launch.session.needs_patient_banner else None,
        needs_banner=launch.session.needs_patient_banner,
        others=others,
        way_back=way_back(launch) if launch.worklist else "",
        label=(shown.analysis.model.label if shown else "") or launch.house.label,
    )
    return make_response(page)


@within_launch
def panel(launch: OpenLaunch) -> Response:
    """Show what is known of the study, without the page around it: it replaces the progress."""
    return make_response(render_template("app/panel.html", **_panel(launch, *_chosen(launch))))


@within_launch
def status(launch: OpenLaunch) -> Response:
    """Say how far the analysis is, for the page that waits for it."""
    choice, _ = _chosen(launch)
    if choice is None or not choice.is_running or choice.job is None:
        return jsonify({"state": "ready" if choice and choice.result else "ended"})
    return jsonify(
        {
            "state": "running",
            "done": words.steps_done(choice.job),
            **asdict(words.progress_of(choice.job, launch.house.line.wait_for(choice.job))),
        }
    )


def _chosen(launch: OpenLaunch) -> tuple[StudyChoice | None, Unread | None]:
    return choose_study(
        launch, result_id=request.args.get("result"), job_id=request.args.get("job")
    )


def _panel(launch: OpenLaunch, choice: StudyChoice | None, unread: Unread | None) -> dict[str, Any]:
    """Return what the panel's template needs, and note that a result was seen."""
    values: dict[str, Any] = {
        "launch": launch,
        "choice": choice,
        "unread": unread,
        "may_retry": launch.session.facts.may_review,
        "words": words,
        "reasons": reasons,
        "stands_out": stands_out,
    }
    if choice is None:
        return values
    shown = (launch.session.facts, choice.study_uid, choice.started)
    values["newer"] = newest_after(*shown, results=launch.house.results)
    values["coming"] = analysing_after(*shown, jobs=launch.house.jobs)
    if choice.job is not None:
        values["status_url"] = url_for("app.status", handle=launch.handle, job=choice.job.id)
        values["panel_url"] = url_for("app.panel", handle=launch.handle, job=choice.job.id)
        if choice.is_running:
            wait = launch.house.line.wait_for(choice.job)
            values["progress"] = words.progress_of(choice.job, wait)
    if choice.result is not None:
        _seen(launch, choice.result)
        values["histories"] = _histories(launch, choice.result)
        values["facts"] = launch.house.model_facts(choice.result.analysis.model)
        values["released"] = release_day(launch.house.model_sheet, choice.result.analysis.model)
        values |= review_values(launch, choice.result)
    return values


def _histories(launch: OpenLaunch, result: Result) -> dict[str, Priors]:
    """Return each finding's earlier studies, by its code."""
    beside = request.args.get("beside")
    return {
        finding.coding.code: priors_of(launch, result, finding, beside)
        for finding in result.analysis.findings
    }


def _seen(launch: OpenLaunch, result: Result) -> None:
    launch.house.audit.record(
        AuditEvent(
            action=AuditAction.RESULT_VIEWED,
            at=launch.house.clock(),
            tenant_id=launch.session.tenant_id,
            agent=launch.session.agent,
            outcome="success",
            patient_id=launch.session.patient_id,
            study_uid=result.study_uid,
            detail=f"result {result.id}",
        )
    )
