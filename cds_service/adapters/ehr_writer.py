"""Write to an EHR's FHIR R4 server with Backend Services, so that twice has the effect of once.

Each resource with an identifier is searched for first: found, it is updated only when its
content differs; not found, it is a conditional create. Servers with `transaction` get one Bundle;
the others get the same requests one by one.

Source: FHIR R4 3.1.0.8.1 (conditional create), 3.1.0.11.2 (transaction); SMART App Launch 2.2
"Backend Services".
"""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import requests
from requests.auth import AuthBase

from cds_service.adapters.ehr import FRESH
from cds_service.adapters.pauses import Pauses
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrRefused, EhrTimedOut, UpstreamFailed
from cds_service.fhir import bounded_json
from cds_service.fhir.capability_statement import takes_transactions
from cds_service.fhir.finding_resources import references_in
from cds_service.usecases.ports import Resource

Json = dict[str, Any]
FHIR_JSON = "application/fhir+json"
TIMEOUT_S = 10.0
# A re-run of the model leaves these alone: somebody has looked.
VERIFIED = frozenset({"final", "amended", "corrected", "entered-in-error"})
_SERVER_OWNED = ("id", "meta", "text")  # what a server may add or change by itself


class FhirWriter:
    """The EhrWriter port over HTTP."""

    def __init__(
        self,
        session_for: Callable[[Tenant], requests.Session],
        auth_for: Callable[[Tenant], AuthBase | None],
    ) -> None:
        self._session_for = session_for
        self._auth_for = auth_for
        self._pauses = Pauses()

    def publish(self, tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        """Write the entries of a transaction Bundle; return their references, in order.

        Raises EhrRefused, EhrBusy, EhrTimedOut or EhrAnswerInvalid. After EhrTimedOut nothing is
        known: the next call searches first and so finds what was written.
        """
        return self._write(tenant, bundle, verifies=False)

    def verify(self, tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        """Write what a clinician said of the same resources, also over what was verified before.

        A Provenance is searched for by its target and what it rests on, since a crash between
        two requests must leave neither none nor two. Raises as `publish`.
        """
        return self._write(tenant, bundle, verifies=True)

    def _write(self, tenant: Tenant, bundle: Resource, *, verifies: bool) -> tuple[str, ...]:
        self._pauses.require_none(tenant)
        session = self._session_for(tenant)
        server = _Server(tenant, session, self._auth_for(tenant), self._pauses)
        written: dict[str, str] = {}  # fullUrl -> "Type/id"
        pending: list[Json] = []
        for entry in deepcopy(list(bundle["entry"])):
            resource = entry["resource"]
            _resolve(resource, written)
            found = server.find(entry["request"].get("ifNoneExist"), resource)
            if found is None and verifies:
                found = server.find_statement(resource)
            if found is None:
                pending.append(entry)
                continue
            written[entry["fullUrl"]] = _reference_of(found)
            is_news = verifies or found.get("status") not in VERIFIED
            if is_news and _differs(found, resource):
                pending.append(_as_update(entry, found))
        if any(verifies or entry["resource"].get("identifier") for entry in pending):
            for entry in pending:
                _resolve(entry["resource"], written)
            if server.supports_transaction():
                server.transaction(pending, written)
            else:
                server.one_by_one(pending, written)
        return tuple(
            written[entry["fullUrl"]] for entry in bundle["entry"] if entry["fullUrl"] in written
        )


class _Server:
    """One EHR during one publication."""

    def __init__(
        self, tenant: Tenant, session: requests.Session, auth: AuthBase | None, pauses: Pauses
    ) -> None:
        self._tenant, self._base, self._pauses = tenant, tenant.fhir_base, pauses
        self._session = session
        self._session.auth = auth

    def find(self, criteria: str | None, resource: Json) -> Json | None:
        """Return the newest resource with this identifier, or None."""
        if criteria is None:
            return None
        kind = resource["resourceType"]
        name, _, value = criteria.partition("=")
        answer = self._search(f"{self._base}/{kind}", {name: value})
        wanted = value.rpartition("|")[2]
        for found in (_object(entry.get("resource")) for entry in _objects(answer.get("entry"))):
            # A server that does not know the parameter may answer everything: check.
            if _reference_of(found).startswith(f"{kind}/") and any(
                identifier.get("value") == wanted
                for identifier in _objects(found.get("identifier"))
            ):
                return found
        return None

    def find_statement(self, resource: Json) -> Json | None:
        """Return the Provenance that says the same of the same target, or None."""
        if resource["resourceType"] != "Provenance":
            return None
        target = resource["target"][0]["reference"]
        if target.startswith("urn:"):
            return None  # what it is about is not there yet
        url, wanted = f"{self._base}/Provenance", _statement_of(resource)
        answer = self._search(url, {"target": target})
        for found in (_object(entry.get("resource")) for entry in _objects(answer.get("entry"))):
            if _reference_of(found).startswith("Provenance/") and _statement_of(found) == wanted:
                return found
        return None

    def supports_transaction(self) -> bool:
        """Tell whether the capability statement lists the system interaction."""
        return takes_transactions(self._call("GET", f"{self._base}/metadata"))

    def transaction(self, entries: list[Json], written: dict[str, str]) -> None:
        """Send all entries as one; note the references that the server gave."""
        body = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answers = list(_objects(self._call("POST", self._base, body=body).get("entry")))
        if len(answers) != len(entries):
            raise EhrAnswerInvalid("The EHR answered a transaction with another number of entries.")
        for entry, answer in zip(entries, answers, strict=True):
            location = _object(answer.get("response")).get("location")
            _note(entry, written, location, _object(answer.get("resource")))

    def one_by_one(self, entries: list[Json], written: dict[str, str]) -> None:
        """Send the entries in order, resolving each reference to what came before."""
        for entry in entries:
            _resolve(entry["resource"], written)
            request = entry["request"]
            headers = {"Content-Type": FHIR_JSON}
            if "ifNoneExist" in request:
                headers["If-None-Exist"] = request["ifNoneExist"]
            url = f"{self._base}/{request['url']}"
            response = self._send(request["method"], url, headers=headers, body=entry["resource"])
            location = response.headers.get("Location")
            _note(entry, written, location, {} if location else _document(response))

    def _search(self, url: str, params: Mapping[str, str]) -> Json:
        return _document(self._send("GET", url, params=params, headers=FRESH))

    def _call(self, method: str, url: str, *, body: Json | None = None) -> Json:
        return _document(self._send(method, url, body=body))

    def _send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> requests.Response:
        try:
            response = self._session.request(
                method,
                url,
                params=params,
                headers={"Accept": FHIR_JSON, "Content-Type": FHIR_JSON} | dict(headers or {}),
                data=None if body is None else json.dumps(body),
                timeout=TIMEOUT_S,
            )
        except requests.Timeout:
            raise EhrTimedOut("The EHR gave no answer in time.") from None
        except requests.RequestException:
            raise EhrBusy("The EHR could not be reached.") from None
        try:
            _check(response.status_code)
        except EhrBusy:
            self._pauses.asked_for(self._tenant, response.headers)
            raise
        return response


def _check(status: int) -> None:
    if status in {401, 403}:
        raise EhrRefused(f"The EHR answered {status} to a write.")
    # 409 and 412: somebody wrote at the same moment; the next attempt searches again.
    if status in {408, 409, 412, 429, 500, 502, 503, 504}:
        raise EhrBusy(f"The EHR answered {status} to a write.")
    if status >= 300:
        raise UpstreamFailed(f"The EHR answered {status} to a write.")


def _as_update(entry: Json, found: Json) -> Json:
    request: Json = {"method": "PUT", "url": f"{found['resourceType']}/{found['id']}"}
    if version := found.get("meta", {}).get("versionId"):
        request["ifMatch"] = f'W/"{version}"'
    return entry | {"resource": entry["resource"] | {"id": found["id"]}, "request": request}


def _differs(found: Json, wanted: Json) -> bool:
    """Tell whether something new is said; a Provenance that was found says the same."""
    return wanted["resourceType"] != "Provenance" and any(
        found.get(key) != value
        for key, value in wanted.items()
        if key not in _SERVER_OWNED and key not in {"issued", "result", "device", "performer"}
    )


def _statement_of(provenance: Json) -> tuple[str, ...]:
    """Return who took what part, and what the statement rests on."""
    agents = _objects(provenance.get("agent"))
    parts = (
        str(coding.get("code"))
        for agent in agents
        for coding in _objects(_object(agent.get("type")).get("coding"))
    )
    sources = (
        str(_object(_object(entity.get("what")).get("identifier")).get("value"))
        for entity in _objects(provenance.get("entity"))
    )
    return (*parts, *sources)


def _resolve(resource: Json, written: dict[str, str]) -> None:
    for reference in references_in(resource):
        reference["reference"] = written.get(reference["reference"], reference["reference"])


def _note(entry: Json, written: dict[str, str], location: object, resource: Json) -> None:
    """Keep the reference that the server gave, in the Location or in the resource it returned."""
    given = _reference(location) if isinstance(location, str) else _reference_of(resource)
    if not given and entry["fullUrl"] not in written:
        raise EhrAnswerInvalid("The EHR does not say where it put what it was given.")
    written[entry["fullUrl"]] = given or written[entry["fullUrl"]]


def _reference(location: str) -> str:
    """Cut "Type/id" out of a Location, absolute or relative, with or without a version."""
    parts = location.partition("/_history")[0].rstrip("/").split("/")
    return "/".join(parts[-2:]) if len(parts) >= 2 else ""


def _reference_of(resource: Json) -> str:
    kind, logical_id = resource.get("resourceType"), resource.get("id")
    return f"{kind}/{logical_id}" if isinstance(logical_id, str) else ""


def _document(response: requests.Response) -> Json:
    try:
        answer = bounded_json.parse(response.content)
    except ValueError:
        raise EhrAnswerInvalid("The EHR did not answer JSON.") from None
    if not isinstance(answer, dict):
        raise EhrAnswerInvalid("The EHR did not answer a FHIR resource.")
    return answer


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> Iterator[Json]:
    """Yield the objects of what should be a list of them."""
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())
