"""The caller of the benchmark, against a service that is really there."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.paced_requests import Answer, main, send_all

CARDS = {
    "finding": [{"summary": "signs of pneumonia", "indicator": "warning"}],
    "unread": [{"summary": "Imaging AI could not read this just now", "indicator": "info"}],
    "nothing": [],
}


class _Service(BaseHTTPRequestHandler):
    """Answers with the cards that its body names; refuses what has no token."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        is_trusted = self.headers["Authorization"] == "Bearer good"
        body = json.dumps({"cards": CARDS[asked]} if is_trusted else {"issue": []}).encode()
        self.send_response(200 if is_trusted else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/cds-services/imaging-ai-findings"
    server.shutdown()
    thread.join()
    server.server_close()


def a_call(url: str, body: str = "finding", token: str = "good") -> dict[str, str]:
    return {"url": url, "token": token, "body": body}


def test_each_answer_is_that_of_its_call(service: str) -> None:
    calls = [a_call(service, body) for body in CARDS] + [a_call(service, token="bad")]

    answers = send_all(calls, rate=1000.0)

    assert [answer.kind for answer in answers] == [
        "warning card",
        "not read card",
        "no card",
        "HTTP 401",
    ]


def test_a_service_that_is_not_there_is_an_answer_too() -> None:
    [answer] = send_all([a_call("http://127.0.0.1:9/cds-services/x")], rate=1000.0)

    assert answer.kind == "ConnectionRefusedError"


def test_a_call_is_timed_from_when_it_was_due(service: str) -> None:
    answers = send_all([a_call(service) for _ in range(200)], rate=100_000.0)

    # More calls than senders are due at once: most leave late, and that counts.
    assert all(answer.since_due_ms >= answer.since_sent_ms > 0 for answer in answers)
    assert answers[-1].since_due_ms > answers[-1].since_sent_ms


def test_calls_and_answers_travel_by_files(service: str, tmp_path: Path) -> None:
    (tmp_path / "calls").write_text(json.dumps(a_call(service)))

    main(str(tmp_path / "calls"), "50", str(tmp_path / "answers"))

    written = json.loads((tmp_path / "answers").read_text())
    assert Answer(**written).code == "200"
    assert written["cards"] == ["warning"]
