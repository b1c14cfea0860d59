"""A hospital in one process: the sandbox EHR and the real service, over SQLite and a real Redis.

There is no worker: a test does its work where it wants a result, and leaves a job where it wants
a job, so that every state of the app is a state of the ledger.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import redis
from flask import Flask, Response, request

from cds_service import wiring
from cds_service.adapters.ledger import SqlJobs
from cds_service.app import create_app
from cds_service.domain.job import Job, JobStep, Lease
from cds_service.domain.study import PatientFacts, SeriesReference, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.fhir.imaging_study import patient_in, studies_in
from cds_service.sandbox import records
from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.parts import EXTENSION, Sandbox
from cds_service.sandbox.patients import PatientRow
from cds_service.sandbox.radiographs import Pictures, instances
from cds_service.sandbox.seed import PICTURES, seed
from cds_service.settings import Settings
from cds_service.usecases.ports import (
    Archive,
    Budget,
    Classification,
    Classifier,
    Leases,
    Pixels,
)
from cds_service.usecases.run_inference import Workbench, run_inference
from smart_app import EXTENSION as APP
from tests.real.servers import free_port, redis_server
from tests.web_app.house import listening


@dataclass
class Hospital:
    """What a test opens, and what it puts into the ledger."""

    base: str  # of the service
    settings: Settings
    sandbox: Sandbox
    service: Flask
    bench: Workbench
    tenant: Tenant
    redis: redis.Redis
    frames: str = ""  # the page at `a_chart`
    fhir_fails: Callable[[str], int | None] = lambda _path: None  # status that a path answers
    # Of the EHR's site, with method and path: what was asked for is done, and nothing is sent yet.
    before_answer: Callable[[str, str], None] = lambda _method, _path: None

    @property
    def a_chart(self) -> str:
        """Return the address of a page of the EHR's site."""
        return f"{self.sandbox.config.origin}/a-chart"

    def launch(self, patient: str, user: str = "Practitioner/clinician") -> str:
        """Return the address that a chart opens when somebody clicks."""
        launch = self.sandbox.authorization.new_launch(patient, user)
        query = urlencode({"iss": self.tenant.fhir_base, "launch": launch})
        return f"{self.base}/app/launch?{query}"

    def standalone(self) -> str:
        """Return the address at which a user opens their worklist."""
        query = urlencode({"iss": self.tenant.fhir_base, "kind": "user"})
        return f"{self.base}/app/launch?{query}"

    def admit(self, row: PatientRow, stored: Callable[[bytes], bytes] = bytes) -> None:
        """Bring one more patient, with images and record; `stored` makes what the archive has."""
        today = self.sandbox.config.now().date()
        for study in row.studies:
            for instance in instances(row, study, Pictures.in_folder(PICTURES), today):
                self.sandbox.archive.store(stored(instance))
        for resource in records.chart(row, self.sandbox.config, today):
            self.sandbox.fhir.update(resource)

    def chart(self, patient: str) -> tuple[PatientFacts, list[StudyReference]]:
        """Return what the record says, as a hook reads it."""
        person = self.sandbox.fhir.read("Patient", patient)
        found = self.sandbox.fhir.search("ImagingStudy", {"patient": patient})
        bundle = {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [{"resource": one} for one in found],
        }
        facts = patient_in(person or {}, patient)
        assert facts is not None
        return facts, studies_in(bundle, self.tenant.id, patient)

    def asked_for(self, patient: str) -> list[Job]:
        """Open a job for every study of a patient, as a hook does."""
        facts, studies = self.chart(patient)
        return [self.service.extensions[APP].dispatch(study, facts) for study in studies]

    def analyse(self, patient: str, days_ago: int = 0, **bench: Any) -> None:
        """Do the worker's work on a patient's studies of that age; `bench` replaces its tools."""
        latest = datetime.now(UTC) - timedelta(days=days_ago - 1)
        for job in self.asked_for(patient):
            if job.study.started is None or job.study.started < latest:
                worker = replace(self.bench, leases=OutOfTurn(self.bench.leases), **bench)
                assert run_inference(job.id, "test", worker) == "done"

    def take(self, patient: str, step: JobStep) -> None:
        """Leave a patient's first job in the hands of a worker, at this step."""
        [job, *_] = self.asked_for(patient)
        lease = self.bench.leases.take(job.id, "test")
        assert lease is not None
        self.bench.leases.advance(lease, step)

    def fail(self, patient: str, error: str) -> None:
        """Leave a patient's first job given up."""
        [job, *_] = self.asked_for(patient)
        lease = self.bench.leases.take(job.id, "test")
        assert lease is not None
        self.bench.leases.give_up(lease, error, retry=False)

    def crash(self, patient: str) -> None:
        """Leave a patient's first job quarantined: its worker died twice."""
        [job, *_] = self.asked_for(patient)
        house = wiring.open_house(self.settings)
        for hour in (1, 2):
            later = datetime.now(UTC) + timedelta(hours=hour)
            jobs = SqlJobs(house.engine, house.vault, clock=lambda later=later: later)
            jobs.take(job.id, "test")
        SqlJobs(house.engine, house.vault, clock=lambda: later + timedelta(hours=1)).reclaim()

    def end_answers(self) -> None:
        """Forget what the EHR said about who may read what, as time does."""
        for key in self.redis.scan_iter("*:readable:*"):
            self.redis.delete(key)

    def end_sessions(self) -> None:
        """Forget every session, as time does."""
        self.redis.flushdb()


@dataclass(frozen=True)
class Unsure:
    """The real classifier, which decides nothing: every score lies inside its band."""

    classifier: Classifier

    def __getattr__(self, name: str) -> Any:
        return getattr(self.classifier, name)

    def classify(self, pixels: Pixels) -> Classification:
        outcome = self.classifier.classify(pixels)
        unsure = (replace(one, present=None, probability=one.threshold) for one in outcome.findings)
        return replace(outcome, findings=tuple(unsure))


@dataclass(frozen=True)
class OutOfTurn:
    """The real leases, of which a worker takes the job that was rung for, whoever waits longer."""

    leases: Leases

    def __getattr__(self, name: str) -> Any:
        return getattr(self.leases, name)

    def take_in_turn(self, rung_id: str, owner: str) -> Lease | None:
        return self.leases.take(rung_id, owner)


@dataclass(frozen=True)
class Grave:
    """The real classifier, whose every finding is there, and critical."""

    classifier: Classifier

    def __getattr__(self, name: str) -> Any:
        return getattr(self.classifier, name)

    def classify(self, pixels: Pixels) -> Classification:
        outcome = self.classifier.classify(pixels)
        grave = (replace(one, present=True, critical=True) for one in outcome.findings)
        return replace(outcome, findings=tuple(grave))


@dataclass(frozen=True)
class WithDamage:
    """The real archive, whose every study holds one more image that is cut off."""

    archive: Archive

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        for instance in self.archive.instances(tenant, study, budget):
            yield instance
            yield instance[: len(instance) * 2 // 3]

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        return self.archive.series(tenant, study)


@contextmanager
def running_hospital(
    folder: Path, lacks: frozenset[str] = frozenset(), **registration: Any
) -> Iterator[Hospital]:
    """Open the hospital; its sandbox has all its people, and nothing is analysed.

    lacks          resource types of which its EHR knows nothing
    registration   what its tenant has otherwise
    """
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(folder))
        service_port, chart_port = free_port(), free_port()
        base, chart = f"http://127.0.0.1:{service_port}", f"http://localhost:{chart_port}"
        config = SandboxConfig(
            origin=chart,
            data=folder / "sandbox",
            service_base=base,
            app_launch_url=f"{base}/app/launch",
            app_redirect_uris=(f"{base}/app/callback",),
            app_jwks_url=f"{base}/app/.well-known/jwks.json",
            lacks=lacks,
        )
        ehr = create_sandbox(config)
        parts = cast(Sandbox, ehr.extensions[EXTENSION])
        seed(parts, lambda *_: None)
        settings = Settings.from_env(
            {
                "SIGHTLINE_PUBLIC_URL": base,
                "SIGHTLINE_DATA": str(folder / "data"),
                "SIGHTLINE_REDIS_URL": server.url,
                "SIGHTLINE_HOOK_DEADLINE_MS": "10000",  # a slow machine is no finding
            }
        )
        wiring.prepare_installation(settings)
        tenant = replace(_tenant(config), **registration)
        wiring.register_sandbox(settings, tenant)
        service = create_app(settings)
        client = stack.enter_context(redis.Redis.from_url(server.url))
        found = Hospital(base, settings, parts, service, wiring.workbench(settings), tenant, client)
        ehr.add_url_rule("/a-chart", view_func=lambda: found.frames)
        ehr.before_request(lambda: _failure(found.fhir_fails(request.path)))
        ehr.after_request(lambda answer: _answered(found, answer))
        stack.enter_context(listening(ehr, chart_port))
        stack.enter_context(listening(service, service_port))
        yield found


def _failure(status: int | None) -> Response | None:
    return None if status is None else Response(status=status)


def _answered(hospital: Hospital, answer: Response) -> Response:
    hospital.before_answer(request.method, request.path)
    return answer


def _tenant(config: SandboxConfig) -> Tenant:
    return Tenant(
        id="sandbox",
        name="Sandbox EHR",
        fhir_base=config.fhir_base,
        hook_issuer=config.fhir_base,
        jwks_url=f"{config.origin}/auth/jwks.json",
        jkus=(f"{config.origin}/auth/jwks.json",),
        client_id="sightline",
        archive_base=config.archive_base,
        origins=(config.origin,),
        shows_negative=True,
    )
