"""What a hook's tests need around the domain builders: a model, a writer, a desk."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cds_service.domain.finding import ModelIdentity
from cds_service.domain.guards import IntendedUse
from cds_service.domain.hook import HookCall, Prefetch, PrefetchState
from cds_service.domain.job import Job
from cds_service.domain.routing import Route, routes_of
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.usecases.compose_card import CardModel, CardWriter
from cds_service.usecases.dispatch_inference import dispatch_inference
from cds_service.usecases.gather_prefetch import Gatherer
from cds_service.usecases.hook_desk import HookDesk
from tests.builders import PNEUMONIA, a_model, a_patient, a_result, a_study
from tests.fakes.alerts import FakeAlerts
from tests.fakes.imaging import FakeIndex, a_use
from tests.fakes.ledger import (
    FakeAuditLog,
    FakeCardLog,
    FakeClock,
    FakeDoorbell,
    FakeJobs,
    FakeResults,
)
from tests.fakes.neighbours import FakeEhrRecord
from tests.fakes.reviews import FakeReviews

PUBLIC_URL = "https://ai.example.org"
SERVICE_ID = "imaging-ai-findings"


def a_card_model(**changes: Any) -> CardModel:
    values: dict[str, Any] = {
        "identity": a_model(),
        "findings": (PNEUMONIA,),
        "scope": "frontal chest X-rays of children aged 1-5",
        "does_not_look_for": ("pleural effusion", "fractures"),
    }
    return CardModel(**(values | changes))


def a_writer(**changes: Any) -> CardWriter:
    return CardWriter(a_card_model(**changes), PUBLIC_URL, a_pseudonym)


def a_pseudonym(tenant_id: str, user_id: str) -> str:
    return sha256(f"{tenant_id}|{user_id}".encode()).hexdigest()


def a_patient_resource(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p-1", "identifier": [{"value": "MRN-1"}]} | changes


def a_study_resource(number: int = 1, **changes: Any) -> dict[str, Any]:
    uid = f"1.2.840.99999.{number}"
    return {
        "resourceType": "ImagingStudy",
        "id": f"s-{number}",
        "status": "available",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "subject": {"reference": "Patient/p-1"},
        "started": f"2026-01-{number + 1:02}T08:30:00Z",
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "series": [
            {
                "uid": f"{uid}.1",
                "modality": {"code": "DX"},
                "bodySite": {"system": "http://snomed.info/sct", "code": "51185008"},
            }
        ],
    } | changes


def a_bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    entries = [{"resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def present(resource: dict[str, Any]) -> Prefetch:
    return Prefetch(PrefetchState.PRESENT, resource)


def a_call(**changes: Any) -> HookCall:
    values: dict[str, Any] = {
        "tenant_id": "t-1",
        "service_id": SERVICE_ID,
        "hook": "patient-view",
        "hook_instance": "6bb4c6a2-7b7e-4b7a-9d0f-0d2c64b3c1a1",
        "patient_id": "p-1",
        "user_id": "Practitioner/1",
        "context": {},
        "fhir_server": "http://127.0.0.1:9/fhir",
        "prefetch": {
            "patient": present(a_patient_resource()),
            "studies": present(a_bundle(a_study_resource())),
        },
    }
    return HookCall(**(values | changes))


@dataclass
class House:
    """The desk and the fakes behind it."""

    pool: Executor
    record: FakeEhrRecord = field(
        default_factory=lambda: FakeEhrRecord(a_patient_resource(), a_study_resource())
    )
    index: FakeIndex = field(default_factory=FakeIndex)
    clock: FakeClock = field(default_factory=FakeClock)
    doorbell: FakeDoorbell = field(default_factory=FakeDoorbell)
    cards: FakeCardLog = field(default_factory=FakeCardLog)
    audit: FakeAuditLog = field(default_factory=FakeAuditLog)
    model: CardModel = field(default_factory=a_card_model)
    use: IntendedUse = field(default_factory=a_use)
    others: tuple[tuple[CardModel, IntendedUse], ...] = ()  # models that are asked after it
    reviews: FakeReviews = field(default_factory=FakeReviews)
    alerts: FakeAlerts = field(init=False)
    jobs: FakeJobs = field(init=False)
    results: FakeResults = field(init=False)
    dispatched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alerts = FakeAlerts(self.cards, self.reviews)
        self.jobs = FakeJobs(clock=self.clock)
        self.results = FakeResults(self.jobs)

    def dispatch(
        self,
        study: StudyReference,
        patient: PatientFacts,
        model: ModelIdentity | None = None,
        again: bool = False,
    ) -> Job:
        self.dispatched.append(study.study_uid)
        return dispatch_inference(
            study,
            patient,
            jobs=self.jobs,
            doorbell=self.doorbell,
            model=model or routes_of(self.routes("t-1"), study, patient)[0].model,
            again=again,
        )

    def routes(self, _tenant_id: str) -> list[Route]:
        models = ((self.model, self.use), *self.others)
        return [
            Route(model.identity, use, frozenset(one.code for one in model.findings))
            for model, use in models
        ]

    def installed(self, model_id: str) -> CardModel | None:
        return {model.identity.id: model for model, _ in self.others}.get(model_id)

    @property
    def desk(self) -> HookDesk:
        return HookDesk(
            gatherer=Gatherer(self.record, self.audit, lambda _tenant_id: self.pool, self.clock),
            index=self.index,
            jobs=self.jobs,
            line=self.jobs,
            results=self.results,
            cards=self.cards,
            alerts=self.alerts,
            audit=self.audit,
            dispatch=self.dispatch,
            routes=self.routes,
            writer=CardWriter(self.model, PUBLIC_URL, a_pseudonym, self.installed),
            clock=self.clock,
        )


def know(house: House, number: int = 1, **changes: Any) -> None:
    """Put a result into the ledger, as a worker leaves it."""
    uid = f"1.2.840.99999.{number}"
    study = a_study(study_uid=uid)
    job = house.dispatch(study, a_patient())
    lease = house.jobs.take(job.id, "worker")
    assert lease is not None
    stored = a_result(id=f"r-{number}", key=f"k-{number}", study_uid=uid, **changes)
    house.results.save(stored, lease)
    house.jobs.finish(lease, stored.id)
    house.dispatched.clear()


MakeHouse = Callable[..., House]
