"""Send prepared hook calls at a fixed pace, as a process of its own, and report how long each took.

`python -m benchmarks.paced_requests FILE RATE` reads one HookRequest as JSON per line and prints
one JSON object. A time runs from the moment the call was due, so a late call counts as slow.
"""

import json
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SENDERS = 16
TIMEOUT_S = 10.0
LEAD_S = 0.5  # until the first call, so that every sender is there


@dataclass(slots=True)
class Answers:
    """What came back."""

    milliseconds: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)  # HTTP status, or the class of an error
    with_card: int = 0


def send_all(calls: list[dict[str, str]], rate: float) -> Answers:
    """Send call number i at second i / rate, over a connection of its own."""
    answers, lock = Answers(), threading.Lock()
    start = time.monotonic() + LEAD_S

    def send(nth: int) -> None:
        for number in range(nth, len(calls), SENDERS):
            due = start + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            code, content = _send(calls[number])
            milliseconds = (time.monotonic() - due) * 1000
            with lock:
                answers.milliseconds.append(milliseconds)
                answers.codes[code] += 1
                answers.with_card += bool(content.get("cards"))

    senders = [threading.Thread(target=send, args=(nth,)) for nth in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return answers


def _send(call: dict[str, str]) -> tuple[str, dict[str, Any]]:
    address = urlsplit(call["url"])
    connection = HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {call['token']}"}
    try:
        connection.request("POST", address.path, call["body"], headers)
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        return type(error).__name__, {}
    finally:
        connection.close()
    return str(answer.status), json.loads(content) if answer.status == 200 else {}


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text().splitlines()
    print(json.dumps(asdict(send_all([json.loads(line) for line in lines], float(sys.argv[2])))))
