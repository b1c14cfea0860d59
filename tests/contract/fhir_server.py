"""A small FHIR R4 server with a token endpoint on a loopback port, to be read over real HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.serving import make_server

from tests.fakes.neighbours import GOOD_TOKEN


@dataclass
class FhirServer:
    """What it holds and how it behaves; a test changes it between calls."""

    base: str = ""
    resources: list[dict[str, Any]] = field(default_factory=list)
    client_keys: dict[str, Any] = field(default_factory=dict)
    granted: str | None = None  # scope of our own token; None: what was asked
    known_scopes: list[str] = field(default_factory=list)
    refuses_unknown_scopes: bool = False
    lists_scopes: bool = True  # in its smart-configuration
    is_open: bool = False
    refuses: frozenset[str] = frozenset()  # search parameters
    refusal_status: int = 400
    lacks: frozenset[str] = frozenset()  # types of resources that it does not know
    page_size: int = 50
    remembered: dict[str, list[dict[str, Any]]] | None = None  # searches, for who lets it
    expires_in: int = 300
    answer: tuple[int, dict[str, str], bytes] | None = None  # instead of a resource
    token_answer: tuple[int, bytes] | None = None  # instead of a token
    configuration_answer: tuple[int, bytes] | None = None  # instead of a smart-configuration
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    assertions: list[dict[str, Any]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def app(self) -> Flask:
        app = Flask("fhir")
        app.get("/fhir/.well-known/smart-configuration")(self.configuration)
        app.post("/token")(self.token)
        app.get("/fhir/<kind>")(self.search)
        app.get("/fhir/<kind>/<logical_id>")(self.one)
        return app

    def configuration(self) -> Any:
        self.asked.append("configuration")
        if self.configuration_answer is not None:
            status, body = self.configuration_answer
            return Response(body, status)
        listed = self.known_scopes if self.lists_scopes else []
        return {"token_endpoint": "/token", "scopes_supported": listed}

    def token(self) -> Any:
        self.asked.append("token")
        if self.token_answer is not None:
            status, body = self.token_answer
            return Response(body, status)
        keys = KeySet.import_key_set(self.client_keys)  # type: ignore[arg-type]
        sent = jwt.decode(request.form["client_assertion"], keys, algorithms=["ES384"])
        self.assertions.append(sent.claims)
        scope = request.form["scope"]
        if self.refuses_unknown_scopes and not set(scope.split()) <= set(self.known_scopes):
            return {"error": "invalid_scope"}, 400
        self._hang()
        self.issued.append(f"{GOOD_TOKEN}-{len(self.issued)}")
        granted = scope if self.granted is None else self.granted
        return {
            "access_token": self.issued[-1],
            "token_type": "bearer",
            "expires_in": self.expires_in,
            "scope": granted,
        }, 200

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Answer nothing until the block ends."""
        self.may_answer.clear()
        try:
            yield
        finally:
            self.may_answer.set()

    def _hang(self) -> None:
        time.sleep(self.delay_s)
        assert self.may_answer.wait(60), "nobody gave up"

    def one(self, kind: str, logical_id: str) -> Any:
        found = [r for r in self.resources if (r["resourceType"], r["id"]) == (kind, logical_id)]
        return self._reply(found[0] if found else None)

    def search(self, kind: str) -> Any:
        if kind in self.lacks:
            return self._reply(None)
        found = [r for r in self.resources if r["resourceType"] == kind]
        if self.refuses.intersection(request.args):
            self.asked.append(request.full_path)
            issue = {"severity": "error", "code": "not-supported"}
            outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
            return Response(json.dumps(outcome), self.refusal_status)
        if self.remembered is not None and not request.cache_control.no_cache:
            found = self.remembered.setdefault(request.full_path, found)
        start = int(request.args.get("start", 0))
        page = {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [{"resource": one} for one in found[start : start + self.page_size]],
        }
        if start + self.page_size < len(found):
            following = f"{self.base}/fhir/{kind}?start={start + self.page_size}"
            page["link"] = [{"relation": "next", "url": following}]
        return self._reply(page)

    def _reply(self, document: dict[str, Any] | None) -> Response:
        self.asked.append(request.full_path.rstrip("?"))
        self._hang()
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.is_open and bearer not in {GOOD_TOKEN, *self.issued}:
            return Response(status=401)
        if self.answer is not None:
            status, headers, body = self.answer
            return Response(body, status, headers)
        if document is None:
            return Response(status=404)
        return Response(json.dumps(document), mimetype="application/fhir+json")


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an application on a free loopback port until the block ends; yield its base."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def a_fhir_server() -> Iterator[FhirServer]:
    """Serve FHIR until the block ends."""
    fhir = FhirServer()
    with serving(fhir.app()) as fhir.base:
        yield fhir
