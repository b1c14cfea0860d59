"""An EHR that asks for a pause, or that does not answer, is left alone for a while."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event

import pytest
from flask import Flask, Response, request

from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.egress import Egress
from cds_service.adapters.ehr import FhirRecord
from cds_service.adapters.ehr_writer import FhirWriter
from cds_service.adapters.pauses import FAILURES, LONGEST_PAUSE_S, PAUSE_S, retry_after_s
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy, EhrTimedOut
from cds_service.fhir.finding_resources import finding_bundle
from tests.builders import a_result, a_tenant
from tests.contract.fhir_server import serving

GMT = "Mon, 23 Nov 2026 12:00:00 GMT"


@dataclass
class TiredEhr:
    """Answers every request with `answer`, if it may; an open server, so that no token is asked."""

    answer: Callable[[], Response] = lambda: Response('{"resourceType":"Patient","id":"p-1"}')
    may_answer: Event = field(default_factory=Event)
    asked: list[str] = field(default_factory=list)
    base: str = ""
    now_s: float = 0.0  # on the clock of the adapter

    def app(self) -> Flask:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.may_answer.set()
        app = Flask("tired")

        @app.before_request
        def reply() -> Response:
            self.asked.append(request.path)
            self.may_answer.wait(30)
            return self.answer()

        return app

    @property
    def tenant(self) -> Tenant:
        return a_tenant(fhir_base=f"{self.base}/fhir", client_id=None)


@pytest.fixture
def ehr() -> Iterator[TiredEhr]:
    tired = TiredEhr()
    with serving(tired.app()) as tired.base:
        yield tired
        tired.may_answer.set()


@pytest.fixture
def read(ehr: TiredEhr) -> Callable[..., object]:
    egress = Egress()
    tokens = BackendTokens(egress, None)  # type: ignore[arg-type]  # an open server: never signs
    record = FhirRecord(egress, tokens, clock=lambda: ehr.now_s)

    def read(timeout_s: float = 30.0, tenant: Tenant | None = None) -> object:
        asked = tenant or ehr.tenant
        return record.read(asked, "Patient/p-1", authorization=None, timeout_s=timeout_s)

    return read


def later(**headers: str) -> Callable[[], Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: Response(status=503, headers=named)


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("value", ["30", in_seconds(3600)], ids=["seconds", "date"])
def test_an_ehr_that_said_later_is_not_read_until_then(
    ehr: TiredEhr, read: Callable[..., object], value: str
) -> None:
    ehr.answer = later(Retry_After=value)
    with pytest.raises(EhrBusy):
        read()
    asked = len(ehr.asked)

    ehr.now_s += 29
    with pytest.raises(EhrBusy):
        read()
    assert len(ehr.asked) == asked

    ehr.answer, ehr.now_s = TiredEhr.answer, ehr.now_s + LONGEST_PAUSE_S
    assert read()


def test_an_ehr_that_said_later_is_not_written_to_until_then(ehr: TiredEhr) -> None:
    writer = FhirWriter(Egress().session_for, lambda _tenant: None)
    ehr.answer = later(Retry_After="30")
    with pytest.raises(EhrBusy):
        writer.publish(ehr.tenant, finding_bundle(a_result()))
    asked = len(ehr.asked)

    with pytest.raises(EhrBusy):
        writer.publish(ehr.tenant, finding_bundle(a_result()))

    assert len(ehr.asked) == asked > 0


def test_an_ehr_that_is_late_time_after_time_is_left_alone_for_a_while(
    ehr: TiredEhr, read: Callable[..., object]
) -> None:
    ehr.may_answer.clear()
    for _ in range(FAILURES):
        with pytest.raises(EhrTimedOut):
            read(timeout_s=0.25)

    with pytest.raises(EhrBusy):
        read(timeout_s=0.25)
    assert len(ehr.asked) <= FAILURES

    ehr.may_answer.set()
    ehr.now_s += PAUSE_S
    assert read()


def a_tenant_elsewhere(ehr: TiredEhr) -> Tenant:
    return a_tenant(id="t-2", name="Other", fhir_base=f"{ehr.base}/fhir", client_id=None)


def test_one_answer_in_between_is_enough(ehr: TiredEhr, read: Callable[..., object]) -> None:
    ehr.answer = later()
    for _ in range(FAILURES - 1):
        with pytest.raises(EhrBusy):
            read()
    ehr.answer = TiredEhr.answer
    read()
    ehr.answer = later()
    for _ in range(FAILURES - 1):
        with pytest.raises(EhrBusy):
            read()

    ehr.answer = TiredEhr.answer
    assert read()


def test_one_ehr_s_pause_is_not_another_s(ehr: TiredEhr, read: Callable[..., object]) -> None:
    ehr.answer = later(Retry_After="30")
    with pytest.raises(EhrBusy):
        read()
    ehr.answer = TiredEhr.answer

    assert read(tenant=a_tenant_elsewhere(ehr))


def test_a_read_that_has_hardly_any_time_says_nothing_about_the_ehr(
    ehr: TiredEhr, read: Callable[..., object]
) -> None:
    ehr.may_answer.clear()
    for _ in range(FAILURES):
        with pytest.raises(EhrTimedOut):
            read(timeout_s=0.01)
    ehr.may_answer.set()

    assert read()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "Mon, 23 Nov 2026 12:02:00 GMT", "Date": GMT}, 120),
        ({"Retry-After": "Monday, 23-Nov-26 12:02:00 GMT", "Date": GMT}, 120),  # RFC 850
        ({"Retry-After": "Mon Nov 23 12:02:00 2026", "Date": GMT}, 120),  # asctime
        ({"Retry-After": "Mon, 23 Nov 2026 11:00:00 GMT", "Date": GMT}, 0),
        ({"Retry-After": "Mon, 23 Nov 1970 11:00:00 GMT"}, 0),
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "\u00b2"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Mon, 99 Foo 2026 12:00:00 GMT", "Date": GMT}, None),
    ],
    ids=str,
)
def test_retry_after_is_read_in_both_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds
