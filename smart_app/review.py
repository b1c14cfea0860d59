"""The two buttons: agree, disagree.

Source: DESIGN "two buttons"; OWASP "Cross-Site Request Forgery" (a token of this launch).
"""

import secrets

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from cds_service.domain.review import Verdict
from cds_service.errors import ScopeDenied
from cds_service.usecases.review_finding import review_finding
from smart_app.open_launch import OpenLaunch, within_launch


@within_launch
def review(launch: OpenLaunch, result_id: str, code: str) -> Response:
    """Record the verdict of the form and show the page again."""
    token = request.form.get("csrf_token", "")
    if not secrets.compare_digest(token.encode(), launch.session.csrf_token.encode()):
        raise ScopeDenied("This form does not belong to the open chart.")
    if request.form.get("verdict") not in set(Verdict):
        raise ScopeDenied("A review says agree or disagree.")
    review_finding(
        launch.session.facts,
        result_id,
        code,
        Verdict(request.form["verdict"]),
        results=launch.house.results,
        reviews=launch.house.reviews,
        audit=launch.house.audit,
        clock=launch.house.clock,
    )
    page = url_for("app.study", handle=launch.handle, result=result_id, _anchor=f"review-{code}")
    return redirect(page, 303)
