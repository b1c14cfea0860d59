"""The one Flask application: the CDS Hooks service and the SMART app.

gunicorn calls `create_app()`; tests call it with settings of their own.
"""

import os

from flask import Flask

from cds_service.settings import Settings
from cds_service.telemetry import configure_logging


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application from `settings`, or from the environment.

    Raises SettingsInvalid with a sentence that names what is missing.
    """
    from cds_service.wiring import app_services, hook_services  # concrete classes, only here

    if settings is None:
        settings = Settings.from_env(os.environ)
        configure_logging(settings.log_level)
    app = Flask("sightline", static_folder=None, template_folder=None)
    return app
