"""What the SMART app is built of."""

from functools import partial

from cds_service.adapters import ledger
from cds_service.adapters.archive import DicomWebArchive
from cds_service.adapters.ehr import FhirRecord
from cds_service.adapters.kept_token import Bearer
from cds_service.adapters.queue import (
    SESSION_TIMEOUT_S,
    redis_client,
)
from cds_service.settings import Settings
from cds_service.web.rate_limit import RateLimit
from cds_service.wiring.dispatch import dispatcher, open_doorbell
from cds_service.wiring.house import House, clock, new_id
from cds_service.wiring.images import archive, study_index
from cds_service.wiring.shelf import codings, model_facts, sheet_of_model
from smart_app import AppServices
from smart_app.chart import READ_TIMEOUT_S

SIGN_INS_PER_S = 50.0  # requests of one address, in each web process: a hospital may have just one


def app_services(settings: Settings, house: House) -> AppServices:
    """Build what the SMART app needs. Its decoder sees only bytes a worker has decoded before."""
    from cds_service.adapters.pixels import DicomReader

    reader = DicomReader()
    enabled = house.shelf.enabled()
    cards = [house.shelf.card(model_id) for model_id in enabled.all()]
    return AppServices(
        public_url=settings.public_url,
        label=house.shelf.card(enabled.everywhere[0]).label,
        tenants=house.tenants,
        results=house.results,
        jobs=house.jobs,
        line=house.jobs,
        lost_jobs=ledger.SqlLostJobs(house.engine),
        reviews=ledger.SqlReviews(house.engine, house.vault),
        review_writes=ledger.SqlReviewWrites(house.engine),
        worklist=ledger.SqlWorklist(house.engine),
        alerts=ledger.SqlAlerts(house.engine),
        doorbell=open_doorbell(settings),
        dispatch=dispatcher(settings, house),
        audit=house.audit,
        vault=house.vault,
        redis=redis_client(settings.redis_url, timeout_s=SESSION_TIMEOUT_S),
        egress=house.egress,
        assertions=house.assertion,
        ehr=FhirRecord(house.egress, house.tokens),
        index=study_index(house, timeout_s=READ_TIMEOUT_S),
        archive=archive(house),
        archive_as=lambda token: DicomWebArchive(
            house.egress.session_for, lambda *_, **__: Bearer(token), only_at_study=True
        ),
        read_pixels=lambda instance, frame: reader.pixels(instance, frame).values,
        read_header=reader.header,
        model_facts=partial(model_facts, house.shelf),
        model_sheet=partial(sheet_of_model, house.shelf),
        looked_for=tuple(dict.fromkeys(coding for one in cards for coding in codings(one))),
        modalities=tuple(sorted(set().union(*(one.intended_use.modalities for one in cards)))),
        count_sign_in=RateLimit(SIGN_INS_PER_S).take_from,
        clock=clock,
        new_id=new_id,
    )
