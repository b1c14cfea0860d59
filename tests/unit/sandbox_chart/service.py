"""A small CDS service that trusts nobody without a good JWT, served on a real loopback port."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

HOOKS = (
    "patient-view",
    "order-select",
    "order-sign",
    "order-dispatch",
    "encounter-start",
    "encounter-discharge",
    "appointment-book",
)
PREFETCH = {
    "patient": "Patient/{{context.patientId}}",
    "studies": "ImagingStudy?patient={{context.patientId}}&_sort=-started",
    "devices": "Device?patient={{context.patientId}}",
    "user": "{{context.userId}}",
    "later": "Observation?encounter={{context.noSuchThing}}",
    "unsupported": "ImagingStudy?no-such-parameter=1",
}


@dataclass
class SmallService:
    """Answers discovery, hooks and feedback; what it was sent lies in `hooks`, `feedback`.

    Like Sightline it has one service under every hook, and one more for orders, "order-check".

    `keys` gives the EHR's public keys, `answer` the body of a hook's answer (or a Response).
    """

    keys: Callable[[], Any]
    answer: Callable[[dict[str, Any]], Any]
    check: Callable[[dict[str, Any]], Any] = lambda _: cards()
    base: str = ""
    discoveries: int = 0
    hooks: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        return self._respond(request)(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if request.path == "/app/launch":
            return Response("<h1>The app</h1>", content_type="text/html")
        if not self._trusts(request):
            return Response(status=401)
        path = request.path
        if path == "/cds-services":
            self.discoveries += 1
            about = {"title": "In the test", "description": "In the test"}
            findings = {**about, "id": "imaging-ai-findings", "prefetch": PREFETCH}
            check = {**about, "id": "order-check"}
            services = [{**findings, "hook": hook} for hook in HOOKS]
            services += [{**check, "hook": hook} for hook in ("order-select", "order-sign")]
            return _json({"services": services})
        if path.endswith("/feedback"):
            self.feedback.append(request.get_json())
            return Response(status=200)
        call = request.get_json()
        self.hooks.append(call)
        is_check = path.endswith("/order-check")
        answer = self.check(call) if is_check else self.answer(call)
        return answer if isinstance(answer, Response) else _json(answer)

    def _trusts(self, request: Request) -> bool:
        """Check signature, audience (this exact URL), lifetime and single use."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(self.keys()), algorithms=["ES384"])
        except JoseError:
            return False
        claims, is_new = decoded.claims, decoded.claims["jti"] not in self.seen
        self.seen.add(claims["jti"])
        is_for_us = claims["aud"] == f"{self.base}{request.path}"
        return scheme == "Bearer" and is_for_us and is_new and claims["exp"] > time.time()


@contextmanager
def served(service: SmallService) -> Iterator[SmallService]:
    with listening(service) as port:
        service.base = f"http://127.0.0.1:{port}"
        yield service


@contextmanager
def listening(application: Any) -> Iterator[int]:
    """Serve a WSGI application on a free loopback port."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_card(**changes: Any) -> dict[str, Any]:
    card = {
        "uuid": "6b1a3c1e-8c55-4f0e-9f59-0f6f3a4d2b11",
        "summary": "Chest X-ray 2 Jan 2026: signs of pneumonia (AI score 0.93, threshold 0.62)",
        "indicator": "warning",
        "source": {"label": "Sightline"},
    }
    return {**card, **changes}


def cards(*several: dict[str, Any]) -> dict[str, Sequence[dict[str, Any]]]:
    return {"cards": several}


def _json(body: Any) -> Response:
    return Response(json.dumps(body), content_type="application/json")
