"""The change feed of the Azure DICOM service (v2) in memory, held to its documented shape.

Source: Azure Health Data Services, "Change feed overview": parameters with their defaults and
limits, fields of an event, events in the order of Sequence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, request
from werkzeug.datastructures import MultiDict

from tests.contract.fhir_server import serving

Json = dict[str, Any]
PARAMETERS = {"offset", "limit", "starttime", "endtime", "includemetadata"}
ALWAYS = datetime(1, 1, 1, tzinfo=UTC)


@dataclass
class AzureDicom:
    """A service with a log of changes and an index of studies."""

    base: str = ""
    events: list[Json] = field(default_factory=list)
    accessions: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: int = 200
    accepts: str | None = None  # the only Authorization; None: it looks at none

    def store(
        self, study: str, accession: str = "", *, at: datetime | None = None, images: int = 1
    ) -> None:
        """Let so many images of a study arrive."""
        self.accessions[study] = accession
        for _ in range(images):
            self.log(study, "create", "current", at)

    def log(self, study: str, action: str, state: str, at: datetime | None = None) -> None:
        number = len(self.events) + 1
        moment = at or datetime.now(UTC)
        self.events.append(
            {
                "Sequence": number,
                "StudyInstanceUid": study,
                "SeriesInstanceUid": f"{study}.1",
                "SopInstanceUid": f"{study}.1.{number}",
                "Action": action,
                "Timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z",  # .NET has seven digits
                "State": state,
            }
        )

    def app(self) -> Flask:
        app = Flask("azure")
        app.before_request(self._let_in)
        app.get("/v2/changefeed")(self.changefeed)
        app.get("/v2/studies")(self.studies)
        return app

    def _let_in(self) -> Any:
        shown = request.headers.get("Authorization")
        return None if self.accepts in (None, shown) else ("", 401)

    def changefeed(self) -> Any:
        given = MultiDict((name.lower(), value) for name, value in request.args.items())
        self.asked.append(request.query_string.decode())
        offset, limit = int(given.get("offset", 0)), int(given.get("limit", 100))
        if not set(given) <= PARAMETERS or offset < 0 or not 1 <= limit <= 200:
            return "", 400
        if self.status != 200:
            return "", self.status
        start = _moment(given["starttime"]) if "starttime" in given else ALWAYS
        window = [one for one in self.events if _moment(one["Timestamp"]) >= start]
        return window[offset : offset + limit]

    def studies(self) -> Any:
        uid = request.args["StudyInstanceUID"]
        if uid not in self.accessions:
            return "", 204
        row = {"0020000D": {"vr": "UI", "Value": [uid]}}
        if self.accessions[uid]:
            row["00080050"] = {"vr": "SH", "Value": [self.accessions[uid]]}
        return [row]


def _moment(text: str) -> datetime:
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return moment + timedelta(microseconds=int(fraction[:6] or 0))


@contextmanager
def azure_dicom() -> Iterator[AzureDicom]:
    """Serve it until the block ends; `base` is the address that an administrator gives."""
    service = AzureDicom()
    with serving(service.app()) as origin:
        service.base = f"{origin}/v2"
        yield service
