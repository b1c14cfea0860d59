"""A test client that lints what the service answers: every 200 of discovery and of a hook."""

import base64
import json
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds_service.domain.dialect import DialectName
from cds_service.lint import Dialect, Kind, Target, Version, lint
from cds_service.web.services import EXTENSION

WRITTEN_FOR = {
    DialectName.STRICT_2_0: (Version.V2, None),
    DialectName.V1_0: (Version.V1, None),
    DialectName.BALLOT_3_0: (Version.V3, None),
    DialectName.EPIC: (Version.V2, Dialect.EPIC),
    DialectName.ORACLE: (Version.V1, Dialect.ORACLE),
}


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
        return response

    def _dialect_of(self, authorization: str) -> DialectName:
        """Return the dialect of the EHR that signed the call, or the one that all of them share."""
        services = self.application.extensions.get(EXTENSION)
        tenants = services.tenants.all() if services else []
        if not authorization:
            shared = {one.dialect for one in tenants}
            return shared.pop() if len(shared) == 1 else DialectName.STRICT_2_0
        payload = authorization.split(".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"]
        return next(one.dialect for one in tenants if one.hook_issuer == issuer)


def kind_of(path: str) -> Kind | None:
    """Tell what the service answers at an address; None: nothing that the standard describes."""
    steps = path.strip("/").split("/")
    if steps[0] != "cds-services":
        return None
    return {1: Kind.DISCOVERY, 2: Kind.RESPONSE}.get(len(steps))
