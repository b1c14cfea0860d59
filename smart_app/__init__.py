"""The SMART on FHIR app: a blueprint of the one Flask application, under /app.

`AppServices` stands in Flask's `app.extensions[EXTENSION]` before the first request.
"""

from smart_app.blueprint import create_blueprint
from smart_app.services import EXTENSION, AppServices, ModelFacts

__all__ = ["EXTENSION", "AppServices", "ModelFacts", "create_blueprint"]
