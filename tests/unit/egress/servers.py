"""A small HTTP server that misbehaves on request."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class AServer:
    """What it is called, and which paths were asked for."""

    port: int
    seen: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Misbehaviour(BaseHTTPRequestHandler):
    """Answers by the method that its path names."""

    record: AServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.record.seen.append(self.path)
        with suppress(ConnectionError):
            getattr(self, "answer_" + self.path.strip("/"))()

    def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_host(self) -> None:
        self.reply(self.headers["Host"].encode())

    def answer_headers(self) -> None:
        self.reply(json.dumps(dict(self.headers)).encode())

    def answer_cookie(self) -> None:
        self.reply(b"", Set_Cookie="a=b; Path=/")

    def answer_redirect(self) -> None:
        self.reply(b"", 302, Location="/headers")

    def answer_large(self) -> None:
        self.reply(b"x" * 200_000)

    def answer_bomb(self) -> None:
        self.reply(gzip.compress(b"x" * 20_000_000), Content_Encoding="gzip")

    def answer_drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(20):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)


@contextmanager
def a_server() -> Iterator[AServer]:
    """Serve on a free loopback port until the block ends."""
    record = AServer(port=0)
    handler = type("Handler", (Misbehaviour,), {"record": record})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    record.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
