"""Asking again for an analysis that was given up.

Source: OWASP "Cross-Site Request Forgery" (a token of this launch); `usecases/retry_job.py`.
"""

import secrets

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from cds_service.errors import ScopeDenied, UpstreamFailed
from cds_service.usecases.retry_job import retry_job
from smart_app.chart import patient_of
from smart_app.open_launch import OpenLaunch, within_launch
from smart_app.study_choice import job_of_launch


@within_launch
def retry(launch: OpenLaunch, job_id: str) -> Response:
    """Put the job back into the line and show the page again."""
    token = request.form.get("csrf_token", "")
    if not secrets.compare_digest(token.encode(), launch.session.csrf_token.encode()):
        raise ScopeDenied("This form does not belong to the open chart.")
    job = job_of_launch(launch, job_id)
    patient = patient_of(launch)
    if patient is None:
        raise UpstreamFailed("The EHR did not tell who the patient is.")
    house = launch.house
    again = retry_job(
        launch.session.facts,
        job,
        patient,
        lost=house.lost_jobs,
        dispatch=house.dispatch,
        audit=house.audit,
        clock=house.clock,
    )
    return redirect(url_for("app.study", handle=launch.handle, job=again.id), 303)
