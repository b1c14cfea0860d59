"""Errors as people see them: one plain sentence, and what to do next.

Source: architecture "every state is designed"; issue "Bad input" (no traceback in any body).
"""

import logging

from flask import Response, g, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as HttpNotFound

from cds_service.domain import refusals
from cds_service.domain.vocabulary import marked
from cds_service.errors import (
    ArchiveFailed,
    DoorbellSilent,
    EhrRefused,
    EhrTimedOut,
    ImageBusy,
    ImageChanged,
    LaunchRefused,
    LedgerUnavailable,
    NotFound,
    ReviewRefused,
    ScopeDenied,
    SessionEnded,
    SightlineError,
    StudyUnusable,
    TooManyCalls,
    UpstreamFailed,
    UserNotAdmitted,
)
from smart_app.catalogues import SOURCE
from smart_app.language import _, language
from smart_app.services import services
from smart_app.words import sentence

log = logging.getLogger(__name__)

# The first class that fits: a title, and what to do next.
_PAGES: tuple[tuple[type[SightlineError], str, str], ...] = (
    (
        SessionEnded,
        marked("This session has ended"),
        marked("Open Sightline again from where you opened it before."),
    ),
    (
        LaunchRefused,
        marked("Sightline could not be opened"),
        marked(
            "Go back to the patient's chart and open Sightline from there. If it happens again, "
            "tell your EHR administrator."
        ),
    ),
    (
        NotFound,
        marked("Not found in this patient's chart"),
        marked("Go back to the chart and open Sightline from the patient you want to see."),
    ),
    (ReviewRefused, marked("The review was not kept"), marked("Go back and complete it.")),
    (
        UserNotAdmitted,
        marked("Sightline does not open for you here"),
        marked("Your EHR administrator can say for whom it opens."),
    ),
    (
        ScopeDenied,
        marked("This is not allowed here"),
        marked("Go back, reload the page and try again."),
    ),
    (
        ImageChanged,
        marked("The image has changed"),
        marked("Look at the study in your usual image viewer."),
    ),
    (
        StudyUnusable,
        marked("The image cannot be shown"),
        marked("Look at the study in your usual image viewer."),
    ),
    (
        EhrRefused,
        marked("The EHR does not allow this"),
        marked(
            "Open Sightline again from the patient's chart. If it happens again, ask your EHR "
            "administrator which rights Sightline has."
        ),
    ),
    (
        ArchiveFailed,
        marked("The image archive did not answer"),
        marked("Try again in a minute, or look at the study in your usual image viewer."),
    ),
    (
        EhrTimedOut,
        marked("The EHR did not answer"),
        marked("Try again in a minute. If it happens again, tell your EHR administrator."),
    ),
    (
        UpstreamFailed,
        marked("A system of the hospital did not answer"),
        marked("Try again in a minute. If it happens again, tell your EHR administrator."),
    ),
    (ImageBusy, marked("Many images are being opened"), marked("Try again in a few seconds.")),
    (TooManyCalls, marked("Sightline is not ready"), marked("Try again in a minute.")),
    (DoorbellSilent, marked("Sightline is not ready"), marked("Try again in a minute.")),
    (LedgerUnavailable, marked("Sightline is not ready"), marked("Try again in a minute.")),
)
# What a launch needs is told to administrators in English, in the log.
_UNSAFE = marked("The EHR's sign-in does not do what a safe launch needs.")
_UNEXPECTED = (
    marked("Something went wrong in Sightline"),
    marked("Try again. If it happens again, tell your EHR administrator."),
)


def on_sightline_error(error: SightlineError) -> Response:
    """Answer one of our own errors; its text is already a sentence for people."""
    log.warning(
        "app: %s at %s tenant=%s: %s",
        type(error).__name__,
        request.endpoint,
        g.get("tenant_id"),
        error,
    )
    title, then = next(
        ((title, then) for kind, title, then in _PAGES if isinstance(error, kind)), _UNEXPECTED
    )
    response = _answer(title, _said(error), then, error.http_status, error.issue_code)
    if isinstance(error, ImageBusy | TooManyCalls):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _said(error: SightlineError) -> str:
    """Return what the error says, in the reader's language; "" where it has no words for it."""
    if error.http_status == 500:
        return _("The analysis could not be shown.")
    if isinstance(error, StudyUnusable):
        return sentence(refusals.said(error.code, error.text, _))
    text = sentence(str(error))
    said = _(text)
    if said != text or language().code == SOURCE:
        return said
    return _(_UNSAFE) if isinstance(error, LaunchRefused) else ""


def on_http_error(error: HTTPException) -> Response:
    """Answer Flask's own refusals, such as a wrong method."""
    status = error.code or 500
    title, then = (
        (marked("This page does not exist"), _PAGES[2][2]) if status == 404 else _UNEXPECTED
    )
    return _answer(title, _("The request cannot be answered."), then, status, "invalid")


def nowhere(rest: str) -> Response:
    """Answer an address, or a method, that no route serves."""
    raise HttpNotFound(rest)


def on_unexpected(error: Exception) -> Response:
    """Answer a fault of ours; the log names its class only, its text may hold patient data."""
    log.error("app: unexpected %s at %s", type(error).__name__, request.endpoint)
    return _answer(
        _UNEXPECTED[0], _("The page could not be made."), _UNEXPECTED[1], 500, "exception"
    )


def _answer(title: str, text: str, then: str, status: int, code: str) -> Response:
    title, then = _(title), _(then)
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html")
    if best == "application/json":
        response = jsonify({"code": code, "title": title, "text": text or title, "then": then})
    else:
        page = render_template(
            "app/problem.html", title=title, text=text, then=then, label=services().label
        )
        response = make_response(page)
    response.status_code = status
    return response
