"""The one Flask application: the CDS Hooks service and the SMART app.

gunicorn calls `create_app()`; tests call it with settings of their own.
"""

import logging
import os
import sys

from flask import Flask

from cds_service import wiring
from cds_service.errors import SightlineError
from cds_service.settings import Settings
from cds_service.telemetry import configure_logging
from cds_service.web import fhir_api, health, hooks, openapi, problems, stow, subscription
from cds_service.web import services as hook_door
from smart_app import EXTENSION as APP_DOOR
from smart_app import create_blueprint

log = logging.getLogger(__name__)

GUNICORN_STAYS_DOWN = 4  # its APP_LOAD_ERROR; after another code it starts the worker again


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application from `settings`, or from the environment.

    Raises SettingsInvalid with a sentence that names what is missing, LedgerUnavailable. Without
    `settings` the process ends instead, and the sentence is its last log line.
    """
    if settings is not None:
        return _app(settings)
    try:
        settings = Settings.from_env(os.environ)
        configure_logging(settings.log_level)
        return _app(settings)
    except SightlineError as error:
        log.critical("the service cannot start: %s", error)
        sys.exit(GUNICORN_STAYS_DOWN)


def _app(settings: Settings) -> Flask:
    house = wiring.open_house(settings)
    app = Flask("sightline", static_folder=None, template_folder=None)
    app.extensions[hook_door.EXTENSION] = wiring.hook_services(settings, house)
    app.extensions[stow.EXTENSION] = wiring.stow_door(settings, house)
    app.extensions[subscription.EXTENSION] = wiring.bell_door(settings, house)
    app.extensions[APP_DOOR] = wiring.app_services(settings, house)
    problems.install(app)
    doors = (hooks.blueprint, fhir_api.blueprint, health.blueprint, openapi.blueprint)
    for blueprint in (*doors, subscription.blueprint, stow.blueprint, create_blueprint()):
        app.register_blueprint(blueprint)
    return app
