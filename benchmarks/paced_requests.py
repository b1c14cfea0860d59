"""Send prepared hook calls at a fixed pace, as a process of its own, and report on each.

`python -m benchmarks.paced_requests CALLS RATE ANSWERS` reads one HookRequest as JSON per line and
writes one Answer as JSON per line, in the same order.
"""

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SENDERS = 64  # at 50 a second each has 1.28 s for a call before the next one of its own is due
TIMEOUT_S = 10.0
NOT_READ = "could not read"  # in the summary of the card that says so of the EHR
LEAD_S = 0.5  # until the first call, so that every sender is there


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one call."""

    since_due_ms: float  # from the moment it was due: a call that left late counts as slow
    since_sent_ms: float
    code: str  # HTTP status, or the class of an error
    cards: tuple[str, ...]  # the indicator of each, or "not read"

    @property
    def kind(self) -> str:
        """Name what came: the first card, which is the most urgent, no card, or what refused it."""
        if self.code != "200":
            return f"HTTP {self.code}" if self.code.isdigit() else self.code
        return f"{self.cards[0]} card" if self.cards else "no card"


def send_all(calls: list[dict[str, str]], rate: float) -> list[Answer]:
    """Send call number i at second i / rate, over a connection of its own."""
    answers: dict[int, Answer] = {}
    start = time.monotonic() + LEAD_S

    def send_every(nth: int) -> None:
        for number in range(nth, len(calls), SENDERS):
            due = start + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            code, content = _send(calls[number])
            done = time.monotonic()
            cards = tuple(map(_name, content.get("cards", [])))
            answers[number] = Answer((done - due) * 1000, (done - sent) * 1000, code, cards)

    senders = [threading.Thread(target=send_every, args=(nth,)) for nth in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return [answers[number] for number in range(len(calls))]


def _name(card: dict[str, str]) -> str:
    return "not read" if NOT_READ in card["summary"] else card["indicator"]


def _send(call: dict[str, str]) -> tuple[str, dict[str, Any]]:
    address = urlsplit(call["url"])
    connection = HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {call['token']}"}
    try:
        connection.request("POST", address.path, call["body"], headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException) as error:
        return type(error).__name__, {}
    finally:
        connection.close()
    return str(answer.status), json.loads(content) if answer.status == 200 else {}


def main(calls_file: str, rate: str, answers_file: str) -> None:
    """Send the calls of one file and write the other."""
    calls = [json.loads(line) for line in Path(calls_file).read_text().splitlines()]
    lines = (json.dumps(asdict(answer)) for answer in send_all(calls, float(rate)))
    Path(answers_file).write_text("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
