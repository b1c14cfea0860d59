"""From an order of an EHR without ImagingStudy to the images in Orthanc, over real HTTP."""

from collections.abc import Iterator

import pytest

from cds_service.adapters.archive import DicomWebArchive
from cds_service.adapters.archive_json import ArchiveJson
from cds_service.adapters.backend_token import ORDER_SCOPES, BackendTokens
from cds_service.adapters.egress import Egress
from cds_service.adapters.ehr import FhirRecord
from cds_service.adapters.qido_index import QidoIndex
from cds_service.domain.tenant import Vendor
from cds_service.usecases.look_up_studies import look_up_studies
from cds_service.usecases.ports import Budget
from tests.builders import a_signer, a_tenant
from tests.contract.fhir_server import FhirServer, a_fhir_server
from tests.real.servers import orthanc
from tests.unit.cards.builders import MakeHouse, a_call, a_patient_resource
from tests.unit.cards.conftest import a_house as a_house  # a fixture
from tests.unit.cards.test_studies_by_accession import an_order
from tests.unit.imaging.dicom import a_film, as_file

SIGNER = a_signer()


@pytest.fixture
def ehr() -> Iterator[FhirServer]:
    """An EHR as Oracle Health's: no ImagingStudy, and no report with a number."""
    with a_fhir_server() as server:
        server.resources = [a_patient_resource(), an_order("A-7")]
        server.lacks = frozenset({"ImagingStudy", "DiagnosticReport"})
        server.client_keys = SIGNER.public_jwks()
        server.known_scopes = list(ORDER_SCOPES)
        server.refuses_unknown_scopes = True
        yield server


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
@pytest.mark.parametrize(
    ("vendor", "scopes", "is_asked"),
    [
        (Vendor.ORACLE, (), False),
        (Vendor.GENERIC, (), False),  # it grants no scope for it
        (Vendor.GENERIC, ("system/ImagingStudy.rs",), True),  # it answers 404
    ],
)
def test_an_order_leads_to_the_images(
    a_house: MakeHouse,
    ehr: FhirServer,
    tmp_path_factory: pytest.TempPathFactory,
    vendor: Vendor,
    scopes: tuple[str, ...],
    is_asked: bool,
) -> None:
    film = a_film(AccessionNumber="A-7")
    ehr.known_scopes += scopes
    house, egress = a_house(), Egress()
    house.record = FhirRecord(egress, BackendTokens(egress, SIGNER))  # type: ignore[assignment]
    house.index = QidoIndex(ArchiveJson(egress.session_for))  # type: ignore[assignment]
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        server.upload(as_file(film))
        tenant = a_tenant(
            fhir_base=f"{ehr.base}/fhir", archive_base=server.dicom_web, vendor=vendor
        )
        deadline = house.desk.gatherer.timer() + 120

        [known] = look_up_studies(a_call(prefetch={}), tenant, house.desk, deadline).known

        assert known.job is not None and house.dispatched == [film.StudyInstanceUID]
        archive = DicomWebArchive(egress.session_for)
        images = list(archive.instances(tenant, known.job.study, Budget()))

    assert images == [as_file(film)]
    assert any(path.startswith("/fhir/ImagingStudy") for path in ehr.asked) is is_asked


def test_a_server_that_lists_no_scopes_and_refuses_imaging_study_is_asked_for_orders(
    ehr: FhirServer,
) -> None:
    ehr.lists_scopes = False

    token = BackendTokens(Egress(), SIGNER).token(a_tenant(fhir_base=f"{ehr.base}/fhir"))

    assert token is not None and token.scope == " ".join(ORDER_SCOPES)
