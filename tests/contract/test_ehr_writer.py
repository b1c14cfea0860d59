"""The EhrWriter contract, on the fake and on the real writer at the sandbox and at HAPI FHIR.

Source: FHIR R4 http.html (conditional create, transaction); SMART App Launch 2.2.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
from flask import Response, request

from cds_service.adapters import ehr_writer
from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.client_assertion import ClientAssertion
from cds_service.adapters.egress import Egress
from cds_service.adapters.ehr_writer import FhirWriter
from cds_service.domain.finding import ModelIdentity, Result
from cds_service.domain.review import Reason, Review, Verdict
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    EhrAnswerInvalid,
    EhrBusy,
    EhrRefused,
    EhrTimedOut,
    SightlineError,
    UpstreamFailed,
)
from cds_service.fhir.finding_resources import finding_bundle
from cds_service.fhir.verified_resources import verified_bundle
from cds_service.sandbox.authorization import SIGHTLINE_SCOPES
from cds_service.usecases.ports import EhrWriter, Resource
from tests.builders import (
    NOW,
    PNEUMONIA,
    a_finding,
    a_model,
    a_result,
    a_signer,
    a_tenant,
    an_analysis,
)
from tests.fakes.record import FakeEhrWriter
from tests.real.sandbox import LiveSandbox, live_sandbox
from tests.real.servers import HAPI_JAR, HAPI_JPA_JAR, free_port, hapi

Json = dict[str, Any]


@dataclass
class InMemory:
    """The fake, and what it holds."""

    writer: FakeEhrWriter = field(default_factory=FakeEhrWriter)
    tenant: Tenant = field(default_factory=a_tenant)

    def put(self, resource: Json) -> None:
        self.writer.stored[f"{resource['resourceType']}/{resource['id']}"] = resource

    def found(self, kind: str, criteria: str) -> list[Json]:
        """Return every resource of a kind: the fake holds those of one test."""
        return [
            {**resource, "id": reference.partition("/")[2]}
            for reference, resource in self.writer.stored.items()
            if reference.startswith(f"{kind}/")
        ]


@dataclass
class Live:
    """The real writer at one FHIR server; `authority` knows every token."""

    base: str
    authority: LiveSandbox
    assertion: ClientAssertion

    @property
    def tenant(self) -> Tenant:
        # The keys' address names the authorization server, so that egress lets us ask there.
        auth = self.authority.parts.config.auth_base
        return a_tenant(fhir_base=self.base, jwks=None, jwks_url=f"{auth}/jwks.json")

    @property
    def writer(self) -> FhirWriter:
        egress = Egress()
        return FhirWriter(egress.session_for, BackendTokens(egress, self.assertion).auth)

    def put(self, resource: Json) -> None:
        self._call("PUT", f"{resource['resourceType']}/{resource['id']}", resource)

    def found(self, kind: str, criteria: str) -> list[Json]:
        bundle = self._call("GET", f"{kind}?{criteria}")
        return [entry["resource"] for entry in bundle.get("entry", [])]

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = {
            "Authorization": f"Bearer {self.authority.token()}",
            "Content-Type": "application/fhir+json",
            "Cache-Control": "no-cache",  # else HAPI answers a search again from memory
        }
        answer = requests.request(
            method, f"{self.base}/{path}", json=body, headers=headers, timeout=120
        )
        assert answer.ok, answer.text
        return dict(answer.json())


Ehr = InMemory | Live


@dataclass
class Trouble:
    """Answers instead of the sandbox's FHIR server while `answer` gives a response."""

    answer: Callable[[], Response | None] = lambda: None
    asked: list[str] = field(default_factory=list)

    def __call__(self) -> Response | None:
        if not request.path.startswith("/fhir") or "/.well-known/" in request.path:
            return None
        self.asked.append(f"{request.method} {request.path.removeprefix('/fhir').lstrip('/')}")
        return self.answer()


@dataclass
class Servers:
    sandbox: LiveSandbox
    assertion: ClientAssertion
    trouble: Trouble
    hapi_port: int  # of HAPI in memory; the next one is for HAPI's own store


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    port, trouble = free_port(2), Trouble()
    assertion = a_signer()
    with live_sandbox(
        tmp_path_factory.mktemp("sandbox"),
        further_audiences=tuple(f"http://127.0.0.1:{one}/fhir" for one in (port, port + 1)),
    ) as sandbox:
        sandbox.app.before_request(trouble)
        keys: Any = assertion.public_jwks()
        sandbox.parts.authorization.register_client("sightline", keys, (), SIGHTLINE_SCOPES)
        yield Servers(sandbox, assertion, trouble, port)


@pytest.fixture(scope="module")
def at_hapi(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with _hapi(servers, tmp_path_factory.mktemp("hapi"), servers.hapi_port, HAPI_JAR) as live:
        yield live


@pytest.fixture(scope="module")
def at_hapi_jpa(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder, port = tmp_path_factory.mktemp("hapi-jpa"), servers.hapi_port + 1
    with _hapi(servers, folder, port, HAPI_JPA_JAR) as live:
        yield live


@contextmanager
def _hapi(servers: Servers, folder: Path, port: int, jar: Path) -> Iterator[Live]:
    config = servers.sandbox.parts.config
    with hapi(
        folder,
        introspection=f"{config.auth_base}/introspect",
        issuer=config.auth_base,
        authorize=f"{config.auth_base}/authorize",
        token=servers.sandbox.parts.authorization.token_url,
        jwks=f"{config.auth_base}/jwks.json",
        port=port,
        jar=jar,
    ) as base:
        yield Live(base, servers.sandbox, servers.assertion)


@pytest.fixture
def at_sandbox(servers: Servers) -> Iterator[Live]:
    servers.trouble.asked.clear()
    yield Live(servers.sandbox.parts.config.fhir_base, servers.sandbox, servers.assertion)
    servers.trouble.answer = lambda: None


@pytest.fixture(
    params=[
        "in_memory",
        pytest.param("at_sandbox", marks=pytest.mark.xdist_group("hapi")),
        pytest.param("at_hapi", marks=[pytest.mark.real, pytest.mark.xdist_group("hapi")]),
        pytest.param("at_hapi_jpa", marks=[pytest.mark.real, pytest.mark.xdist_group("hapi")]),
    ]
)
def ehr(request: pytest.FixtureRequest) -> Ehr:
    if request.param == "in_memory":
        return InMemory()
    found: Ehr = request.getfixturevalue(request.param)
    return found


def a_result_in(ehr: Ehr, probability: float = 0.93) -> Result:
    """A result of a study and a patient that this EHR has."""
    mark = uuid.uuid4()
    patient, study = f"p-{mark.hex}", f"s-{mark.hex}"
    if isinstance(ehr, Live):
        subject = {"reference": f"Patient/{patient}"}
        ehr.put({"resourceType": "Patient", "id": patient, "birthDate": "2022-06-01"})
        ehr.put(
            {
                "resourceType": "ImagingStudy",
                "id": study,
                "status": "available",
                "subject": subject,
            }
        )
    result = a_result(
        patient_id=patient, imaging_study_id=study, study_uid=f"2.25.{mark.int}", key=mark.hex
    )
    return scored(result, probability, a_model(version=mark.hex))  # so a Device of its own


def scored(result: Result, probability: float, model: ModelIdentity | None = None) -> Result:
    """The same study again, with another score."""
    finding = a_finding(probability=probability, present=probability > 0.62)
    analysis = an_analysis(findings=(finding,), model=model or result.analysis.model)
    return replace(result, id=uuid.uuid4().hex, analysis=analysis)


def publish(ehr: Ehr, result: Result, writer: EhrWriter | None = None) -> tuple[str, ...]:
    bundle: Resource = finding_bundle(result)
    return (writer or ehr.writer).publish(ehr.tenant, bundle)


def of_patient(ehr: Ehr, kind: str, result: Result) -> list[Json]:
    return ehr.found(kind, f"patient={result.patient_id}")


def score_in(observation: Json) -> float:
    return float(observation["component"][0]["valueQuantity"]["value"])


# --- all --------------------------------------------------------------------------------------


def test_publishing_twice_leaves_one_of_each(ehr: Ehr) -> None:
    result = a_result_in(ehr)

    first = publish(ehr, result)
    second = publish(ehr, result)

    kinds = [reference.partition("/")[0] for reference in first]
    assert kinds == ["Device", "Observation", "DiagnosticReport", "Provenance"]
    assert second == first[:3]
    [observation] = of_patient(ehr, "Observation", result)
    assert observation.get("meta", {}).get("versionId", "1") == "1"
    [report] = of_patient(ehr, "DiagnosticReport", result)
    device = finding_bundle(result)["entry"][0]["resource"]["identifier"][0]
    assert len(ehr.found("Device", f"identifier={device['system']}|{device['value']}")) == 1
    assert len(ehr.found("Provenance", f"target={first[2]}")) == 1
    assert (f"Observation/{observation['id']}", f"DiagnosticReport/{report['id']}") == first[1:3]


def test_what_is_written_refers_to_what_the_server_named(ehr: Ehr) -> None:
    result = a_result_in(ehr)

    device, observation, _, _ = publish(ehr, result)

    [report] = of_patient(ehr, "DiagnosticReport", result)
    [written] = of_patient(ehr, "Observation", result)
    assert [one["reference"] for one in report["result"]] == [observation]
    assert written["device"]["reference"] == device


def test_a_re_run_with_another_score_updates_the_same_observation(ehr: Ehr) -> None:
    result = a_result_in(ehr, 0.93)
    before = publish(ehr, result)

    after = publish(ehr, scored(result, 0.21))

    [observation] = of_patient(ehr, "Observation", result)
    assert after[:3] == before[:3]
    assert score_in(observation) == 0.21
    assert observation["valueCodeableConcept"]["text"] == "Absent"


def test_an_observation_that_a_clinician_verified_is_left_alone(ehr: Ehr) -> None:
    result = a_result_in(ehr, 0.93)
    publish(ehr, result)
    [observation] = of_patient(ehr, "Observation", result)
    ehr.put(observation | {"status": "final"})

    publish(ehr, scored(result, 0.21))

    [kept] = of_patient(ehr, "Observation", result)
    assert (kept["status"], score_in(kept)) == ("final", 0.93)


# --- all: what a clinician said ---------------------------------------------------------------


def said(result: Result, verdict: Verdict = Verdict.AGREE, minutes: int = 0) -> Review:
    reason = Reason.ARTEFACT if verdict is Verdict.DISAGREE else None
    at = NOW + timedelta(minutes=minutes)
    code = PNEUMONIA.code
    return Review("t-1", result.id, code, verdict, "Practitioner/clinician", at, reason)


def verify(ehr: Ehr, result: Result, *reviews: Review) -> tuple[str, ...]:
    if isinstance(ehr, Live):
        ehr.put({"resourceType": "Practitioner", "id": "clinician"})
    return ehr.writer.verify(ehr.tenant, verified_bundle(result, reviews))


def parts_in(ehr: Ehr, references: tuple[str, ...]) -> list[str]:
    """Return the part that each Provenance's agent took, of this report or Observation."""
    found = {}
    for target in references[1:3]:
        for one in ehr.found("Provenance", f"target={target}"):
            found[one["id"]] = one["agent"][0]["type"]["coding"][0]["code"]
    return sorted(found.values())


def test_what_was_verified_is_updated_and_signed_once(ehr: Ehr) -> None:
    result = a_result_in(ehr)
    before = publish(ehr, result)

    first = verify(ehr, result, said(result))
    second = verify(ehr, result, said(result))

    assert first[:3] == before[:3] and second == first
    [observation] = of_patient(ehr, "Observation", result)
    [report] = of_patient(ehr, "DiagnosticReport", result)
    assert (observation["status"], report["status"]) == ("final", "final")
    assert observation.get("meta", {}).get("versionId", "2") == "2"
    assert parts_in(ehr, first) == ["author", "verifier"]


def test_the_record_follows_each_change_of_mind(ehr: Ehr) -> None:
    result = a_result_in(ehr)
    history, statuses = [], []
    verdicts = (Verdict.AGREE, Verdict.DISAGREE, Verdict.WITHDRAWN, Verdict.AGREE)

    for minutes, verdict in enumerate(verdicts):
        history.append(said(result, verdict, minutes))
        references = verify(ehr, result, *history)
        [observation] = of_patient(ehr, "Observation", result)
        statuses.append(observation["status"])

    assert statuses == ["final", "entered-in-error", "preliminary", "final"]
    assert parts_in(ehr, references) == ["author", "enterer", "verifier", "verifier", "verifier"]
    [report] = of_patient(ehr, "DiagnosticReport", result)
    assert report["resultsInterpreter"] == [{"reference": "Practitioner/clinician"}]


def test_a_late_write_back_leaves_what_was_verified_alone(ehr: Ehr) -> None:
    result = a_result_in(ehr)
    references = verify(ehr, result, said(result, Verdict.DISAGREE))

    publish(ehr, result)

    [observation] = of_patient(ehr, "Observation", result)
    assert observation["status"] == "entered-in-error"
    assert parts_in(ehr, references) == ["author", "verifier"]


# --- the real writer: how it writes -----------------------------------------------------------


@pytest.mark.xdist_group("hapi")
def test_the_same_content_is_not_written_again(at_sandbox: Live, servers: Servers) -> None:
    result = a_result_in(at_sandbox)
    publish(at_sandbox, result)
    servers.trouble.asked.clear()

    publish(at_sandbox, replace(result, id="another"))

    assert {asked.partition(" ")[0] for asked in servers.trouble.asked} == {"GET"}


@pytest.mark.xdist_group("hapi")
def test_a_server_without_transaction_is_written_one_by_one(
    at_sandbox: Live, servers: Servers
) -> None:
    result = a_result_in(at_sandbox)
    servers.trouble.asked.clear()

    def no_transaction() -> Response | None:
        if request.path == "/fhir/metadata":
            return a_json({"resourceType": "CapabilityStatement", "rest": [{"mode": "server"}]})
        return None

    servers.trouble.answer = no_transaction

    first = publish(at_sandbox, result)
    second = publish(at_sandbox, scored(result, 0.21))

    written = [asked for asked in servers.trouble.asked if not asked.startswith("GET")]
    kinds = ("Device", "Observation", "DiagnosticReport", "Provenance")
    assert written[:4] == [f"POST {kind}" for kind in kinds]
    assert written[4:] == [f"PUT {first[1]}", f"PUT {first[2]}", "POST Provenance"]
    assert second[:3] == first[:3]
    [report] = of_patient(at_sandbox, "DiagnosticReport", result)
    assert report["result"][0]["reference"] == first[1]


@pytest.mark.xdist_group("hapi")
def test_a_crash_half_way_without_transaction_is_completed_by_the_next_run(
    at_sandbox: Live, servers: Servers
) -> None:
    result = a_result_in(at_sandbox)

    def fails_at_the_report() -> Response | None:
        if request.path == "/fhir/metadata":
            return a_json({"resourceType": "CapabilityStatement"})
        if request.path == "/fhir/DiagnosticReport" and request.method == "POST":
            return Response(status=503)
        return None

    servers.trouble.answer = fails_at_the_report
    with pytest.raises(EhrBusy):
        publish(at_sandbox, result)
    servers.trouble.answer = lambda: None

    _, observation, report, _ = publish(at_sandbox, result)

    assert [
        f"Observation/{one['id']}" for one in of_patient(at_sandbox, "Observation", result)
    ] == [observation]
    assert len(at_sandbox.found("Provenance", f"target={report}")) == 1


@pytest.mark.xdist_group("hapi")
@pytest.mark.parametrize("fails_at", ["DiagnosticReport", "Provenance"])
def test_a_crash_in_the_middle_of_a_verification_is_completed_by_the_next_run(
    at_sandbox: Live, servers: Servers, fails_at: str
) -> None:
    result = a_result_in(at_sandbox)
    publish(at_sandbox, result)

    def fails() -> Response | None:
        if request.path == "/fhir/metadata":
            return a_json({"resourceType": "CapabilityStatement"})
        if request.path.startswith(f"/fhir/{fails_at}") and request.method in ("POST", "PUT"):
            return Response(status=503)
        return None

    servers.trouble.answer = fails
    with pytest.raises(EhrBusy):
        verify(at_sandbox, result, said(result))
    servers.trouble.answer = lambda: None

    references = verify(at_sandbox, result, said(result))

    [observation] = of_patient(at_sandbox, "Observation", result)
    assert observation["status"] == "final"
    assert parts_in(at_sandbox, references) == ["author", "verifier"]


def a_json(document: object) -> Response:
    return Response(json.dumps(document), mimetype="application/fhir+json")


@pytest.mark.xdist_group("hapi")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(status=401), EhrRefused),
        (Response(status=403), EhrRefused),
        (Response(status=409), EhrBusy),
        (Response(status=412), EhrBusy),
        (Response(status=429), EhrBusy),
        (Response(status=500), EhrBusy),
        (Response(status=503), EhrBusy),
        (Response(status=302, headers={"Location": "/elsewhere"}), UpstreamFailed),
        (Response(status=422), UpstreamFailed),
        (Response("<html>Sign in</html>"), EhrAnswerInvalid),
        (Response("[" * 100_000), EhrAnswerInvalid),
        (a_json([]), EhrAnswerInvalid),
        (a_json({"entry": 1, "rest": [1], "resourceType": 2}), EhrAnswerInvalid),
        (a_json({"entry": [{"resource": 1}], "rest": {"interaction": 1}}), EhrAnswerInvalid),
    ],
    ids=lambda value: getattr(value, "status", None) or value.__name__,
)
def test_an_answer_becomes_one_of_our_errors(
    at_sandbox: Live, servers: Servers, answer: Response, error: type[SightlineError]
) -> None:
    result = a_result_in(at_sandbox)
    servers.trouble.answer = lambda: answer

    with pytest.raises(SightlineError) as raised:
        publish(at_sandbox, result)

    assert type(raised.value) is error


@pytest.mark.xdist_group("hapi")
def test_a_server_that_hangs_times_out_and_what_it_wrote_is_found(
    at_sandbox: Live, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = a_result_in(at_sandbox)

    given_up = Event()

    def hangs_over_the_transaction() -> Response | None:
        assert request.method != "POST" or given_up.wait(60)
        return None

    servers.trouble.answer = hangs_over_the_transaction
    with monkeypatch.context() as patched, pytest.raises(EhrTimedOut):
        patched.setattr(ehr_writer, "TIMEOUT_S", 2.0)  # enough for what comes before
        publish(at_sandbox, result)
    given_up.set()
    deadline = time.monotonic() + 60  # the server finishes what nobody waits for
    while not of_patient(at_sandbox, "Observation", result):
        assert time.monotonic() < deadline, "the transaction never came"
        time.sleep(0.05)

    publish(at_sandbox, result)

    assert len(of_patient(at_sandbox, "Observation", result)) == 1


@pytest.mark.xdist_group("hapi")
def test_a_token_that_was_revoked_is_renewed_once(at_sandbox: Live, servers: Servers) -> None:
    result = a_result_in(at_sandbox)
    refusals = iter([Response(status=401)])
    servers.trouble.asked.clear()
    servers.trouble.answer = lambda: next(refusals, None)

    publish(at_sandbox, result)

    assert servers.trouble.asked[0] == servers.trouble.asked[1]
    assert len(of_patient(at_sandbox, "Observation", result)) == 1


def test_an_ehr_that_is_away_is_busy() -> None:
    writer = FhirWriter(Egress().session_for, lambda _tenant: None)

    with pytest.raises(EhrBusy):
        writer.publish(a_tenant(), finding_bundle(a_result()))
