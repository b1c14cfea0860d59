"""Writing a result back, as far as the EHR lets anybody write."""

import pytest

from cds_service.domain.publication import PublicationState
from cds_service.domain.tenant import Vendor
from cds_service.errors import EhrRefused, EhrTimedOut
from cds_service.usecases.publish_findings import publish_findings
from tests.builders import a_result, a_tenant, not_analysed
from tests.fakes.record import FakeEhrWriter


def test_a_result_is_written_once_and_its_references_are_kept() -> None:
    writer = FakeEhrWriter()

    first = publish_findings(a_result(), a_tenant(), writer=writer)
    publish_findings(a_result(), a_tenant(), writer=writer)

    assert first.state is PublicationState.DONE and len(first.references) == 4
    assert sum(key.startswith("Observation") for key in writer.stored) == 1


@pytest.mark.parametrize("vendor", [Vendor.EPIC, Vendor.ORACLE])
def test_a_vendor_that_takes_no_imaging_observation_is_not_asked_and_the_loss_is_said(
    vendor: Vendor,
) -> None:
    writer = FakeEhrWriter()

    publication = publish_findings(a_result(), a_tenant(vendor=vendor), writer=writer)

    assert publication.state is PublicationState.NOT_WANTED and publication.lost
    assert writer.calls == 0


def test_a_registration_without_a_client_id_writes_nothing() -> None:
    publication = publish_findings(a_result(), a_tenant(client_id=None), writer=FakeEhrWriter())

    assert publication.state is PublicationState.NOT_WANTED


def test_a_study_that_was_not_analysed_writes_nothing() -> None:
    result = a_result(analysis=not_analysed("age", "made for children aged 1-5"))

    publication = publish_findings(result, a_tenant(), writer=FakeEhrWriter())

    assert publication.state is PublicationState.NOT_WANTED


def test_a_refusal_for_good_is_a_failed_publication_and_not_an_error() -> None:
    writer = FakeEhrWriter(error=EhrRefused("The EHR answered 403 to a write."))

    publication = publish_findings(a_result(), a_tenant(), writer=writer)

    assert publication.state is PublicationState.FAILED
    assert "EhrRefused" in publication.lost[0]


def test_a_timeout_is_raised_so_that_the_job_is_tried_again() -> None:
    writer = FakeEhrWriter(fails_first=1)

    with pytest.raises(EhrTimedOut):
        publish_findings(a_result(), a_tenant(), writer=writer)
