"""A test client that judges every 200 of discovery and of a hook: the linter, and our OpenAPI."""

import base64
import json
from typing import Any

from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from cds_service.domain.dialect import DialectName
from cds_service.lint import Dialect, Kind, Target, Version, lint
from cds_service.web.openapi import document
from cds_service.web.services import EXTENSION

COMPONENTS = document("https://ai.example.org")["components"]

WRITTEN_FOR = {
    DialectName.STRICT_2_0: (Version.V2, None),
    DialectName.V1_0: (Version.V1, None),
    DialectName.BALLOT_3_0: (Version.V3, None),
    DialectName.EPIC: (Version.V2, Dialect.EPIC),
    DialectName.ORACLE: (Version.V1, Dialect.ORACLE),
}
SCHEMA_OF = {Kind.DISCOVERY: "Discovery", Kind.RESPONSE: "HookResponse"}


class LintedClient(FlaskClient):
    """Fails a test whose answer breaks a rule, or gives cause for advice, in its EHR's dialect."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        if response.status_code == 200 and response.request.method in ("GET", "POST"):
            kind = kind_of(response.request.path)
            if kind is not None:
                authorization = response.request.headers.get("Authorization", "")
                version, dialect = WRITTEN_FOR[self._dialect_of(authorization)]
                breaches = lint(response.json, Target(kind, version, dialect))
                assert not breaches, breaches
                undescribed = list(as_described(SCHEMA_OF[kind]).iter_errors(response.json))
                assert not undescribed, undescribed
        return response

    def _dialect_of(self, authorization: str) -> DialectName:
        """Return the dialect of the EHR that signed the call, or the one that all of them share."""
        services = self.application.extensions.get(EXTENSION)
        tenants = services.client_trust.tenants.last_known() if services else []
        if not authorization:
            shared = {one.dialect for one in tenants}
            return shared.pop() if len(shared) == 1 else DialectName.STRICT_2_0
        payload = authorization.split(".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"]
        return next(one.dialect for one in tenants if one.hook_issuer == issuer)


def as_described(schema: str) -> Draft202012Validator:
    """The schema of this name in the OpenAPI document that the service publishes."""
    reference = {"$ref": f"#/components/schemas/{schema}", "components": COMPONENTS}
    return Draft202012Validator(reference)


def kind_of(path: str) -> Kind | None:
    """Tell what the service answers at an address; None: nothing that the standard describes."""
    steps = path.strip("/").split("/")
    if steps[0] != "cds-services":
        return None
    return {1: Kind.DISCOVERY, 2: Kind.RESPONSE}.get(len(steps))
