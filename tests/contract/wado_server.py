"""A small DICOMweb archive on a loopback port, to be read over real HTTP."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from json import dumps
from typing import Any

from flask import Flask, Response, request
from werkzeug.serving import make_server

BOUNDARY = "b0und"


@dataclass
class WadoServer:
    """What it holds and how it behaves; a test changes it between calls."""

    base: str = ""
    studies: dict[str, list[bytes]] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None  # instead of the multipart of the study
    content_type: str = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)  # of its index, as QIDO-RS has them
    searched: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> Flask:
        app = Flask("archive")
        app.get("/dicom-web/studies")(self.search)
        app.get("/dicom-web/<path:path>")(self.retrieve)
        return app

    def search(self) -> Response:
        """Answer with every row, whatever is asked for: matching is the client's to check."""
        self.searched.append(dict(request.args))
        return Response(dumps(self.rows), self.status, content_type="application/dicom+json")

    def retrieve(self, path: str) -> Response:
        self.asked.append((path, dict(request.headers)))
        if self.status != 200:
            headers = {"Location": "/elsewhere"} if self.status == 302 else {}
            return Response(b"secret text of the archive", self.status, headers)
        instances = self.studies.get(path.split("/")[1])
        if instances is None:
            return Response(status=404)
        body = multipart(instances) if self.body is None else self.body
        return Response(body, content_type=self.content_type)


def multipart(instances: Iterable[bytes]) -> bytes:
    parts = (
        b"--" + BOUNDARY.encode() + b"\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n"
        for data in instances
    )
    return b"".join(parts) + b"--" + BOUNDARY.encode() + b"--\r\n"


@contextmanager
def wado_server() -> Iterator[WadoServer]:
    server = WadoServer()
    running = make_server("127.0.0.1", 0, server.app(), threaded=True)
    server.base = f"http://127.0.0.1:{running.server_port}/dicom-web"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
