"""Subscriptions at an EHR, created and removed with a token that is good for nothing else.

Source: FHIR R4 3.1.0.8 (create), 3.1.0.7 (delete); SMART App Launch 2.2 "Backend Services".
"""

import json
import re
from collections.abc import Callable

import requests
from requests.auth import AuthBase

from cds_service.adapters.pauses import BUSY
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrRefused, EhrTimedOut
from cds_service.fhir import bounded_json
from cds_service.usecases.ports import Resource

SCOPES = ("system/Subscription.cruds",)
FHIR_JSON = "application/fhir+json"
_LOCATION = re.compile(r"(?:^|.*/)Subscription/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?")


class FhirSubscriptions:
    """The Subscriptions port over HTTP."""

    def __init__(
        self,
        session_for: Callable[[Tenant], requests.Session],
        auth_for: Callable[[Tenant], AuthBase | None],
    ) -> None:
        self._session_for, self._auth_for = session_for, auth_for

    def create(self, tenant: Tenant, subscription: Resource) -> str:
        """Return its logical id.

        Raises EhrRefused, EhrBusy, EhrTimedOut or EhrAnswerInvalid.
        """
        response = self._send(tenant, "POST", "Subscription", subscription)
        if response.status_code not in (200, 201):
            raise EhrAnswerInvalid(
                f"The EHR answered {response.status_code} to the Subscription: perhaps it has none."
            )
        match = _LOCATION.fullmatch(response.headers.get("Location", ""))
        if match is not None:
            return match["id"]
        try:
            made = bounded_json.parse(response.content)
        except ValueError:
            made = None
        if not isinstance(made, dict) or not isinstance(made.get("id"), str):
            raise EhrAnswerInvalid("The EHR does not say which Subscription it made.")
        return str(made["id"])

    def remove(self, tenant: Tenant, logical_id: str) -> None:
        """Remove it, or find that it is gone; raises as `create`."""
        response = self._send(tenant, "DELETE", f"Subscription/{logical_id}")
        if not response.ok and response.status_code not in (404, 410):
            raise EhrAnswerInvalid(f"The EHR answered {response.status_code} to a delete.")

    def _send(
        self, tenant: Tenant, method: str, path: str, body: Resource | None = None
    ) -> requests.Response:
        headers = {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON}
        try:
            response = self._session_for(tenant).request(
                method,
                f"{tenant.fhir_base}/{path}",
                data=None if body is None else json.dumps(body),
                headers=headers,
                auth=self._auth_for(tenant),
            )
        except requests.Timeout as error:
            raise EhrTimedOut("The EHR gave no answer in time.") from error
        except requests.RequestException as error:
            raise EhrBusy("The EHR could not be reached.") from error
        if response.status_code in (401, 403):
            raise EhrRefused(
                f"The EHR answered {response.status_code}: it does not let Sightline subscribe."
            )
        if response.status_code in BUSY:
            raise EhrBusy(f"The EHR answered {response.status_code} to the Subscription.")
        return response
