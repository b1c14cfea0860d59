"""The SMART on FHIR app: a blueprint of the one Flask application, under /app.

`AppServices` stands in Flask's `app.extensions[EXTENSION]` before the first request.
"""

from smart_app.blueprint import create_blueprint
from smart_app.model_facts import Measured, ModelFacts, Share
from smart_app.services import EXTENSION, AppServices

__all__ = [
    "EXTENSION",
    "AppServices",
    "Measured",
    "ModelFacts",
    "Share",
    "create_blueprint",
]
