"""A small DICOMweb archive on a loopback port, to be read over real HTTP."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    films: dict[tuple[str, str], bytes] = field(default_factory=dict)  # by series and SOP UID
    modalities: dict[str, str] = field(default_factory=dict)  # by series UID
    cut_at: int | None = None  # where a study or a series ends too early, in bytes
    # What a request for this transfer syntax is answered with: a status, or instances.
    forms: dict[str, int | list[bytes]] = field(default_factory=dict)
    failures: int = 0  # of so many instances that are asked for alone
    page_size: int = 100
    before_answer: Callable[[str], None] = lambda _path: None
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
        self.before_answer(path)
        if self.status != 200:
            headers = {"Location": "/elsewhere"} if self.status == 302 else {}
            return Response(b"secret text of the archive", self.status, headers)
        form = self.forms.get(asked_syntax(request.headers))
        if isinstance(form, int):
            return Response(b"secret text of the archive", form)
        if form is not None:
            return Response(multipart(form), content_type=self.content_type)
        if self.films:
            return self._of_films(path.split("/"))
        instances = self.studies.get(path.split("/")[1])
        if instances is None:
            return Response(status=404)
        body = multipart(instances) if self.body is None else self.body
        return Response(body, content_type=self.content_type)

    def _of_films(self, path: list[str]) -> Response:
        if path[2:] == ["series"]:
            return self._list_series()
        series = path[3] if path[2:3] == ["series"] else None
        if path[-1] == "instances":
            return self._list(series)
        wanted = [
            film
            for (series_uid, sop_uid), film in self.films.items()
            if series in (None, series_uid) and path[5:6] in ([], [sop_uid])
        ]
        if path[5:6] and self.failures:
            self.failures -= 1
            return Response(multipart(wanted)[:-50], content_type=self.content_type)
        cut_at = None if path[5:6] else self.cut_at
        status = 200 if wanted else 404
        return Response(multipart(wanted)[:cut_at], status, content_type=self.content_type)

    def _list_series(self) -> Response:
        start = int(request.args.get("offset", 0))
        uids = dict.fromkeys(series_uid for series_uid, _ in self.films)
        rows = [
            {
                "0020000E": {"Value": [uid]},
                "00080060": {"Value": [self.modalities.get(uid, "dx")]},
                "00201209": {"Value": [sum(one == uid for one, _ in self.films)]},
            }
            for uid in uids
        ]
        return Response(dumps(rows[start : start + self.page_size]))

    def _list(self, series: str | None) -> Response:
        start = int(request.args.get("offset", 0))
        rows = [
            {"0020000E": {"Value": [series_uid]}, "00080018": {"Value": [sop_uid]}}
            for series_uid, sop_uid in self.films
            if series in (None, series_uid)
        ]
        return Response(dumps(rows[start : start + self.page_size]))


def asked_syntax(headers: Mapping[str, str]) -> str:
    """Return the transfer syntax that a request names."""
    return headers["Accept"].partition("transfer-syntax=")[2]


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
