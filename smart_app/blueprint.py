"""The routes of the app, and what is true of all of them."""

from typing import cast

from flask import Blueprint, Flask
from werkzeug.exceptions import HTTPException

from cds_service.errors import SightlineError
from smart_app import (
    callback,
    frames,
    launch,
    model_page,
    picture,
    problem_pages,
    retry,
    review,
    study_view,
    style,
    worklist,
)
from smart_app.framing import protect
from smart_app.language import keep, speak

NOT_GET = ("POST", "PUT", "PATCH", "DELETE")
ANY = ("GET", *NOT_GET)
OF_FINDING = "/l/<handle>/r/<result_id>/<code>"


def create_blueprint() -> Blueprint:
    """Return a fresh blueprint; its collaborators are read from the application per request."""
    app = Blueprint(
        "app", __name__, url_prefix="/app", template_folder="templates", static_folder="static"
    )
    app.add_url_rule("/", view_func=launch.home)
    app.add_url_rule("/launch", view_func=launch.start)
    app.add_url_rule("/callback", view_func=callback.callback)
    app.add_url_rule("/.well-known/jwks.json", view_func=launch.jwks)
    app.add_url_rule("/models/<model_id>", "model", model_page.page)
    app.add_url_rule("/models/<model_id>/chai.xml", "model_chai", model_page.chai)
    app.add_url_rule("/legend.png", view_func=picture.legend)
    app.add_url_rule("/l/<handle>/", view_func=study_view.study)
    app.add_url_rule("/l/<handle>/worklist", view_func=worklist.worklist)
    app.add_url_rule("/l/<handle>/style.css", view_func=style.style)
    app.add_url_rule("/l/<handle>/panel", view_func=study_view.panel)
    app.add_url_rule("/l/<handle>/status", view_func=study_view.status)
    app.add_url_rule("/l/<handle>/j/<job_id>/retry", view_func=retry.retry, methods=["POST"])
    app.add_url_rule("/l/<handle>/r/<result_id>/images", view_func=frames.images)
    app.add_url_rule("/l/<handle>/r/<result_id>/i/<int:number>/frame", view_func=frames.frame)
    app.add_url_rule(f"{OF_FINDING}/picture", view_func=picture.picture)
    app.add_url_rule(f"{OF_FINDING}/heatmap", view_func=picture.heatmap)
    app.add_url_rule(f"{OF_FINDING}/outline", view_func=picture.outline)
    app.add_url_rule(f"{OF_FINDING}/review", view_func=review.review, methods=["POST"])
    app.add_url_rule(f"{OF_FINDING}/review/panel", "review_panel", review.panel)
    app.add_url_rule(f"{OF_FINDING}/review/image", "review_image", review.image_size)
    # Flask asks a blueprint about its own routes only: what none of them serves needs one too.
    app.add_url_rule("/", view_func=problem_pages.nowhere, methods=NOT_GET, defaults={"rest": ""})
    app.add_url_rule("/<path:rest>", view_func=problem_pages.nowhere, methods=ANY)
    app.register_error_handler(SightlineError, problem_pages.on_sightline_error)
    app.register_error_handler(HTTPException, problem_pages.on_http_error)
    app.register_error_handler(Exception, problem_pages.on_unexpected)
    app.record_once(lambda state: speak(cast(Flask, state.app)))
    app.after_request(protect)
    app.after_request(keep)
    return app
