"""Reviewing a finding: agree, disagree, wrong place, comment, and taking it back.

Source: architecture "two buttons: agree, disagree"; OWASP "Cross-Site Request Forgery" (a token of
this launch, and where the request comes from); Fetch Metadata (`Sec-Fetch-Site`).
"""

import secrets
from urllib.parse import urlsplit

from flask import jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cds_service.domain.finding import Box, Finding, Result
from cds_service.domain.review import COMMENT_LIMIT, Reason, Verdict, is_in_an_image, smallest_side
from cds_service.errors import ReviewRefused, ScopeDenied
from cds_service.usecases.review_finding import Opinion, ReviewDesk, review_finding
from smart_app import words
from smart_app.chart import patient_of
from smart_app.images import frame_in, place_of
from smart_app.language import report_language
from smart_app.open_launch import OpenLaunch, within_launch
from smart_app.review_panel import review_panels, why_no_review

SIDES = ("left", "top", "width", "height")


@within_launch
def review(launch: OpenLaunch, result_id: str, code: str) -> Response:
    """Record what the form says, and show the page, or only its part, again."""
    _refuse_foreign(launch)
    denied = why_no_review(launch)
    if denied is not None:
        raise ScopeDenied(denied)
    result, finding = launch.finding(result_id, code)
    patient_of(launch)  # a sign-in that the EHR has ended reviews nothing
    house = launch.house
    ledger = (house.results, house.reviews, house.review_writes)
    desk = ReviewDesk(*ledger, house.doorbell, house.audit, house.clock)
    opinion = _opinion(launch, result, finding)
    review_finding(launch.session.facts, result_id, code, opinion, tenant=launch.tenant, desk=desk)
    if request.form.get("after") == "panel":
        return redirect(
            url_for("app.review_panel", handle=launch.handle, result_id=result_id, code=code), 303
        )
    page = url_for("app.study", handle=launch.handle, result=result_id, _anchor=f"review-{code}")
    return redirect(page, 303)


@within_launch
def panel(launch: OpenLaunch, result_id: str, code: str) -> Response:
    """Show the review of one finding, without the page around it."""
    result, finding = launch.finding(result_id, code)
    values = review_values(launch, result)
    part = render_template("app/review.html", launch=launch, finding=finding, words=words, **values)
    return make_response(part)


@within_launch
def image_size(launch: OpenLaunch, result_id: str, code: str) -> Response:
    """Say how large the finding's image is, in its pixels and, where it states that, in mm.

    `edges` is which part of the patient lies towards each edge, where it states that; `smallest` is
    how many pixels wide and high a marked place must be.
    """
    result, finding = launch.finding(result_id, code)
    facts = frame_in(launch, result, place_of(finding)).facts
    size = {name: facts[name] for name in ("columns", "rows", "spacing_mm", "edges")}
    return jsonify(size | {"smallest": smallest_side(facts["rows"], facts["columns"])})


def review_values(launch: OpenLaunch, result: Result) -> dict[str, object]:
    """Return what `app/review.html` needs besides the launch, the finding and the words."""
    return {
        "reviewed": result,
        "review_panels": review_panels(launch, result),
        "no_review": why_no_review(launch),
        "review_reasons": tuple(Reason),
        "report_language": report_language(launch.tenant),
    }


def _refuse_foreign(launch: OpenLaunch) -> None:
    """Raise ScopeDenied unless our own page of this very launch sent the form.

    Our pages send no referrer, so a browser says "null" for the origin of their forms; a current
    one tells by Sec-Fetch-Site, and for an older one the token decides.
    """
    origin = request.headers.get("Origin", "null")
    own = urlsplit(launch.house.public_url)
    is_ours = origin in ("null", f"{own.scheme}://{own.netloc}")
    token = request.form.get("csrf_token", "")
    is_of_launch = secrets.compare_digest(token.encode(), launch.session.csrf_token.encode())
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin" or not is_ours:
        raise ScopeDenied("This form was sent from somewhere else.")
    if not is_of_launch:
        raise ScopeDenied("This form does not belong to the open chart.")


def _opinion(launch: OpenLaunch, result: Result, finding: Finding) -> Opinion:
    """Read the form; raise ReviewRefused with what to put right."""
    said = request.form.get("verdict")
    if said not in set(Verdict):
        raise ReviewRefused("A review says agree, disagree, wrong place or a comment.")
    verdict = Verdict(said)
    reason = request.form.get("reason")
    if verdict is Verdict.DISAGREE and reason not in set(Reason):
        raise ReviewRefused("A disagreement needs one of the reasons.")
    return Opinion(
        verdict,
        reason=Reason(reason) if verdict is Verdict.DISAGREE and reason else None,
        region=_region(launch, result, finding) if verdict is Verdict.WRONG_PLACE else None,
        comment=_comment() if verdict is not Verdict.WITHDRAWN else None,
    )


def _comment() -> str | None:
    comment = request.form.get("comment", "").replace("\r\n", "\n").strip()
    if len(comment) > COMMENT_LIMIT:
        raise ReviewRefused(f"A comment has at most {COMMENT_LIMIT} characters.")
    return comment or None


def _region(launch: OpenLaunch, result: Result, finding: Finding) -> Box:
    """Return the box, known to lie in the image."""
    try:
        region = Box(*(int(request.form.get(side, "")) for side in SIDES))
    except ValueError:
        raise ReviewRefused("A place needs four whole numbers, in pixels.") from None
    rows, columns = _size(launch, result, finding)
    if (
        not is_in_an_image(region)
        or region.left + region.width > columns
        or region.top + region.height > rows
    ):
        raise ReviewRefused(
            f"The box must have an area and lie in the image of {columns} x {rows} pixels."
        )
    if min(region.width, region.height) < smallest_side(rows, columns):
        raise ReviewRefused("The box is too small to mark a place.")
    return region


def _size(launch: OpenLaunch, result: Result, finding: Finding) -> tuple[int, int]:
    """Return rows and columns; raises as `frame_in`."""
    frame = frame_in(launch, result, place_of(finding))
    rows, columns = frame.stored.shape
    return int(rows), int(columns)
