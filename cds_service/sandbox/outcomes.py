"""What the sandbox refuses, and the OperationOutcome that says so.

SandboxRefusal
├── MalformedRequest       400  structure
├── InvalidResource        400  invalid
├── UnsupportedParameter   400  not-supported
├── Unauthenticated        401  login
├── ScopeDenied            403  forbidden
├── NotFound               404  not-found
├── UnsupportedType        404  not-supported
├── NotAcceptable          406  not-supported
├── VersionConflict        412  conflict
├── MultipleMatches        412  multiple-matches
├── UnsupportedMedia       415  not-supported
└── BusinessRule           422  business-rule

Source: FHIR R4 http.html "Status Codes", ValueSet issue-type.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

Resource = dict[str, Any]


class SandboxRefusal(Exception):
    """A request the sandbox does not fulfil; `str()` is safe to send: no values from the record."""

    http_status: ClassVar[int] = 400
    issue_code: ClassVar[str] = "processing"

    def __init__(self, diagnostics: str, expression: Sequence[str] = ()) -> None:
        super().__init__(diagnostics)
        self.expression = tuple(expression)

    def as_outcome(self) -> Resource:
        """Return the OperationOutcome of this refusal."""
        return operation_outcome(self.issue_code, str(self), self.expression)


class MalformedRequest(SandboxRefusal):
    """The body or a header cannot be read."""

    issue_code = "structure"


class InvalidResource(SandboxRefusal):
    """The body is JSON, but no valid FHIR R4 resource."""

    issue_code = "invalid"


class UnsupportedParameter(SandboxRefusal):
    """A search parameter, modifier or prefix this server does not have."""

    issue_code = "not-supported"


class Unauthenticated(SandboxRefusal):
    """No bearer token, or one that this authorization server does not know (any more)."""

    http_status, issue_code = 401, "login"


class ScopeDenied(SandboxRefusal):
    """The token is good, but not for this interaction or this patient."""

    http_status, issue_code = 403, "forbidden"


class NotFound(SandboxRefusal):
    """There is no such resource, study, series or instance."""

    http_status, issue_code = 404, "not-found"


class UnsupportedType(SandboxRefusal):
    """The server does not hold that resource type."""

    http_status, issue_code = 404, "not-supported"


class NotAcceptable(SandboxRefusal):
    """The client accepts no representation we can send."""

    http_status, issue_code = 406, "not-supported"


class VersionConflict(SandboxRefusal):
    """If-Match names another version than the current one."""

    http_status, issue_code = 412, "conflict"


class MultipleMatches(SandboxRefusal):
    """A conditional create matches more than one resource."""

    http_status, issue_code = 412, "multiple-matches"


class UnsupportedMedia(SandboxRefusal):
    """The body is of a media type we do not read."""

    http_status, issue_code = 415, "not-supported"


class BusinessRule(SandboxRefusal):
    """Valid FHIR that this server cannot keep, for example a reference to nothing."""

    http_status, issue_code = 422, "business-rule"


def operation_outcome(code: str, diagnostics: str, expression: Sequence[str] = ()) -> Resource:
    """Return an OperationOutcome with one error issue."""
    issue: Resource = {"severity": "error", "code": code, "diagnostics": diagnostics}
    if expression:
        issue["expression"] = list(expression)
    return {"resourceType": "OperationOutcome", "issue": [issue]}
