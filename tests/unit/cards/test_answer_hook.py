"""One hook through the house, with fakes at its doors."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.binding import MISMATCH_CODES
from cds_service.domain.card import Card
from cds_service.domain.finding import AnalysisStatus, Reason
from cds_service.domain.hook import FhirAuthorization, HookCall, Prefetch, PrefetchState
from cds_service.domain.job import JobStep
from cds_service.domain.line import Priority
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy, EhrRefused, EhrTimedOut, PrefetchUnavailable
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.wants_analysis import RETRY_MISMATCH_AFTER
from tests.builders import (
    a_finding,
    a_model,
    a_patient,
    a_study,
    a_tenant,
    an_analysis,
    not_analysed,
)
from tests.fakes.neighbours import GOOD_TOKEN, hanging
from tests.unit.cards.builders import (
    House,
    MakeHouse,
    a_bundle,
    a_call,
    a_card_model,
    a_patient_resource,
    a_study_resource,
    know,
    present,
)


def cards_of(
    house: House, call: HookCall | None = None, tenant: Tenant | None = None, budget_s: float = 60
) -> list[Card]:
    return answer_hook(call or a_call(), tenant or a_tenant(), house.desk, budget_s=budget_s)


def authorization(scope: str = "patient/*.read", **changes: Any) -> FhirAuthorization:
    values: dict[str, Any] = {"access_token": GOOD_TOKEN, "scope": scope, "expires_in_s": 300}
    return FhirAuthorization(**(values | changes))


NULL, FAILED = Prefetch(PrefetchState.NULL), Prefetch(PrefetchState.FAILED)


# --- what is known, what is not --------------------------------------------------------------


def test_a_known_result_is_a_card_and_no_job(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)

    (card,) = cards_of(house)

    assert "signs of pneumonia" in card.summary and house.dispatched == []


def test_an_unknown_study_is_asked_for_and_said_to_be_queued(a_house: MakeHouse) -> None:
    house = a_house()

    (card,) = cards_of(house)

    assert "AI analysis queued" in card.summary and len(house.doorbell.rung) == 1


def test_two_hooks_for_one_study_make_one_job(a_house: MakeHouse) -> None:
    house = a_house()

    cards_of(house)
    cards_of(house)

    assert len(house.doorbell.rung) == 1


def test_a_hook_hastens_what_an_intake_door_asked_for(a_house: MakeHouse) -> None:
    house = a_house()
    model_id = house.model.identity.id
    for patient_id in ("p-1", "p-2"):
        study = a_study(patient_id=patient_id)
        house.jobs.open(patient_id, study, a_patient(), model_id, priority=Priority.ROUTINE)

    cards_of(house)

    assert [one.priority for one in house.jobs.all] == [Priority.ASKED, Priority.ROUTINE]
    assert house.dispatched == []


def test_a_site_may_keep_running_analyses_silent(a_house: MakeHouse) -> None:
    house = a_house()

    assert cards_of(house, tenant=a_tenant(shows_running=False)) == []
    assert len(house.doorbell.rung) == 1


def test_a_negative_is_shown_only_where_the_site_wants_it(a_house: MakeHouse) -> None:
    house = a_house()
    know(house, analysis=an_analysis(findings=(a_finding(present=False, probability=0.1),)))

    assert cards_of(house) == []
    (card,) = cards_of(house, tenant=a_tenant(shows_negative=True))
    assert "found no signs" in card.summary


@pytest.mark.parametrize("code", sorted(MISMATCH_CODES))
def test_a_site_may_keep_a_mix_up_out_of_its_charts(a_house: MakeHouse, code: str) -> None:
    house = a_house()
    know(house, analysis=not_analysed(code, "images could not be matched to this patient"))

    (card,) = cards_of(house)

    assert "could not be matched to this patient" in card.summary
    assert cards_of(house, tenant=a_tenant(shows_mismatch=False)) == []


def test_without_mismatch_cards_a_study_out_of_scope_is_spoken_of(a_house: MakeHouse) -> None:
    house = a_house()
    know(house, analysis=not_analysed("age", "made for children aged 1-5, this patient is 61"))

    (card,) = cards_of(house, tenant=a_tenant(shows_mismatch=False))

    assert "made for children" in card.summary


def test_a_silent_queue_costs_nothing(a_house: MakeHouse) -> None:
    house = a_house()
    house.doorbell.is_silent = True

    (card,) = cards_of(house)

    assert "queued" in card.summary


def test_a_failed_job_is_left_alone_for_a_while_and_then_tried_again(a_house: MakeHouse) -> None:
    house = a_house()
    cards_of(house)
    (job_id,) = house.doorbell.rung
    lease = house.jobs.take(job_id, "worker")
    assert lease is not None
    house.jobs.give_up(lease, "ArchiveFailed", retry=False)

    (card,) = cards_of(house)
    assert "technical problem" in card.summary and len(house.doorbell.rung) == 1

    house.clock.advance(timedelta(minutes=11).total_seconds())
    (card,) = cards_of(house)
    assert "queued" in card.summary and len(house.doorbell.rung) == 2


def test_a_study_that_grew_is_analysed_again_and_the_old_finding_stays(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)
    grown = a_bundle(a_study_resource(numberOfInstances=2))

    (card,) = cards_of(house, a_call(prefetch={"studies": present(grown)}))

    assert house.dispatched == ["1.2.840.99999.1"]
    assert "signs of pneumonia" in card.summary and "New images" in card.detail_markdown


def test_a_study_that_another_patient_has_now_is_analysed_for_that_patient(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    know(house)
    moved = a_study_resource(subject={"reference": "Patient/p-2"})
    theirs = {
        "patient": present(a_patient_resource(id="p-2")),
        "studies": present(a_bundle(moved)),
    }

    (card,) = cards_of(house, a_call(patient_id="p-2", prefetch=theirs))

    assert house.dispatched == ["1.2.840.99999.1"] and len(house.doorbell.rung) == 2
    assert "running" in card.summary and "pneumonia" not in card.summary
    assert {job.study.patient_id for job in house.jobs.all} == {"p-1", "p-2"}


def test_a_study_that_did_not_match_is_tried_again_after_a_while(a_house: MakeHouse) -> None:
    house = a_house()
    reason = Reason("patient-mismatch", "images could not be matched to this patient")
    status = AnalysisStatus.NOT_ANALYSED
    know(house, analysis=an_analysis(findings=(), status=status, reason=reason))

    (card,) = cards_of(house)
    assert "could not be matched" in card.summary and house.dispatched == []

    house.clock.advance(RETRY_MISMATCH_AFTER.total_seconds() + 1)
    (card,) = cards_of(house)
    assert "could not be matched" in card.summary
    assert house.dispatched == ["1.2.840.99999.1"] and len(house.doorbell.rung) == 2


def test_a_study_whose_counts_are_not_stated_this_time_is_not_called_changed(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    know(house)
    uncounted = a_study_resource(numberOfSeries=None, numberOfInstances=None)

    (card,) = cards_of(house, a_call(prefetch={"studies": present(a_bundle(uncounted))}))

    assert house.dispatched == []
    assert "signs of pneumonia" in card.summary and "New images" not in card.detail_markdown


def test_a_new_model_analyses_again(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)
    house.model = a_card_model(identity=a_model(digest="sha256:" + "1" * 64))

    cards_of(house)

    assert house.dispatched == ["1.2.840.99999.1"]


def test_t19_a_patient_with_many_studies_makes_three_jobs(a_house: MakeHouse) -> None:
    house = a_house()
    many = a_bundle(*(a_study_resource(number) for number in range(1, 21)))

    cards = cards_of(house, a_call(prefetch={"studies": present(many)}))

    assert len(cards) == 3
    assert house.dispatched == [f"1.2.840.99999.{number}" for number in (20, 19, 18)]


def test_studies_that_the_model_reads_come_before_newer_ones_of_another_kind(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    ct = [{"uid": "1.2.3", "modality": {"code": "CT"}}]
    scans = [a_study_resource(number, series=ct) for number in (7, 8, 9)]

    cards_of(house, a_call(prefetch={"studies": present(a_bundle(*scans, a_study_resource(1)))}))

    assert house.dispatched[0] == "1.2.840.99999.1" and len(house.dispatched) == 3


def test_the_most_urgent_card_comes_first(a_house: MakeHouse) -> None:
    house = a_house()
    know(house, 1, analysis=an_analysis(findings=(a_finding(critical=True),)))
    know(house, 2)
    call = a_call(
        prefetch={
            "patient": present(a_patient_resource()),
            "studies": present(a_bundle(*(a_study_resource(n) for n in (3, 2, 1)))),
        }
    )

    assert [card.indicator for card in cards_of(house, call)] == ["critical", "warning", "info"]


def test_a_study_of_another_patient_is_never_shown(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)
    foreign = a_bundle(a_study_resource(subject={"reference": "Patient/p-2"}))

    assert cards_of(house, a_call(prefetch={"studies": present(foreign)})) == []


def test_a_card_that_was_shown_is_remembered_for_feedback(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)

    (card,) = cards_of(house)

    (shown,) = house.cards.cards.values()
    assert (shown.card_uuid, shown.result_id) == (card.uuid, "r-1")


def test_an_answer_is_audited_with_the_reader(a_house: MakeHouse) -> None:
    house = a_house()

    cards_of(house)

    event = house.audit.events[-1]
    assert event.action is AuditAction.HOOK_ANSWERED and event.agent == "Practitioner/1"


# --- the order of sources --------------------------------------------------------------------


def test_what_was_prefetched_is_not_read(a_house: MakeHouse) -> None:
    house = a_house()

    cards_of(house, a_call(authorization=authorization()))

    assert house.record.reads == []


def test_ch2_52_each_missing_key_is_read_by_itself(a_house: MakeHouse) -> None:
    house = a_house()
    call = a_call(
        prefetch={"patient": present(a_patient_resource())}, authorization=authorization()
    )

    (card,) = cards_of(house, call)

    assert [path.partition("?")[0] for path, _ in house.record.reads] == ["ImagingStudy"]
    assert "queued" in card.summary


def test_missing_keys_are_read_at_the_same_time(a_house: MakeHouse) -> None:
    house = a_house()
    together = threading.Barrier(2, timeout=30)
    house.record.before_answer = together.wait  # type: ignore[assignment]

    (card,) = cards_of(house, a_call(prefetch={}, authorization=authorization()))

    assert "queued" in card.summary


def test_the_hook_s_token_comes_before_our_own(a_house: MakeHouse) -> None:
    house = a_house()

    cards_of(house, a_call(prefetch={}, authorization=authorization()))

    assert {bearer for _, bearer in house.record.reads} == {GOOD_TOKEN}


@pytest.mark.parametrize(
    "changes",
    [
        {"authorization": authorization("launch patient/Observation.read")},
        {"authorization": authorization(access_token="expired")},
        {"authorization": authorization(patient="p-2")},
        {"authorization": authorization(), "fhir_server": "https://evil.example/fhir"},
        {"authorization": None, "fhir_server": None},
    ],
    ids=["scope too narrow", "refused", "of another patient", "other server", "none sent"],
)
def test_where_the_hook_s_token_does_not_reach_ours_is_used_and_audited(
    a_house: MakeHouse, changes: dict[str, Any]
) -> None:
    house = a_house()

    (card,) = cards_of(house, a_call(prefetch={}, **changes))

    assert "queued" in card.summary
    assert house.record.reads[-1][1] is None
    assert [e.action for e in house.audit.events].count(AuditAction.EHR_READ) == 2


def test_a_site_may_forbid_our_own_token(a_house: MakeHouse) -> None:
    house = a_house()

    with pytest.raises(PrefetchUnavailable):
        cards_of(house, a_call(prefetch={}), a_tenant(backend_services=False))

    assert house.record.reads == []


def test_a_key_that_failed_is_not_read_with_the_same_token_again(a_house: MakeHouse) -> None:
    house = a_house()
    call = a_call(prefetch={"studies": FAILED}, authorization=authorization())

    cards_of(house, call)

    studies = [bearer for path, bearer in house.record.reads if path.startswith("ImagingStudy")]
    assert studies == [None]


def test_a_null_study_list_is_unverified_and_the_ledger_is_asked(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)

    (card,) = cards_of(house, a_call(prefetch={"studies": NULL}))

    assert "Chest X-ray 2 Jan 2026: signs of pneumonia" in card.summary
    assert not [path for path, _ in house.record.reads if path.startswith("ImagingStudy")]


def test_a_null_study_list_of_an_unknown_patient_is_no_card(a_house: MakeHouse) -> None:
    assert cards_of(a_house(), a_call(prefetch={"studies": NULL})) == []


@pytest.mark.parametrize("wrong", [{"resourceType": "Practitioner", "id": "1"}, {"id": "p-1"}])
def test_a_prefetched_resource_of_another_type_is_read_instead(
    a_house: MakeHouse, wrong: dict[str, Any]
) -> None:
    house = a_house()

    (card,) = cards_of(house, a_call(prefetch={"studies": present(wrong)}))

    assert "queued" in card.summary and len(house.record.reads) == 2


def a_page(*studies: dict[str, Any], next_page: str) -> dict[str, Any]:
    return a_bundle(*studies) | {"link": [{"relation": "next", "url": next_page}]}


NEXT_PAGE = "http://127.0.0.1:9/fhir/ImagingStudy?page=2"


def test_ch2_48_the_pages_after_the_one_that_was_sent_are_read(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.resources = [a_study_resource(2)]
    first = present(a_page(a_study_resource(1), next_page=NEXT_PAGE))
    prefetch = {"patient": present(a_patient_resource()), "studies": first}

    cards_of(house, a_call(prefetch=prefetch, authorization=authorization()))

    assert house.dispatched == ["1.2.840.99999.2", "1.2.840.99999.1"]
    assert [bearer for _, bearer in house.record.reads] == [GOOD_TOKEN]


def many_studies(*, newest_first: bool) -> list[dict[str, Any]]:
    numbers = range(1, 21)
    return [a_study_resource(number) for number in sorted(numbers, reverse=newest_first)]


@pytest.mark.parametrize(("newest_first", "reads"), [(True, 0), (False, 1)])
def test_a_page_with_the_newest_studies_is_enough(
    a_house: MakeHouse, newest_first: bool, reads: int
) -> None:
    house = a_house()
    first = a_page(*many_studies(newest_first=newest_first), next_page=NEXT_PAGE)
    prefetch = {"patient": present(a_patient_resource()), "studies": present(first)}

    cards_of(house, a_call(prefetch=prefetch))

    assert len(house.record.reads) == reads


@pytest.mark.parametrize(
    ("next_page", "failure"),
    [
        ("https://evil.example/fhir/ImagingStudy?page=2", None),
        (NEXT_PAGE, EhrTimedOut("late")),
        (NEXT_PAGE, EhrRefused("no")),
    ],
)
def test_a_first_page_is_used_when_the_rest_cannot_be_had(
    a_house: MakeHouse, next_page: str, failure: Any
) -> None:
    house = a_house()
    house.record.failure = failure
    first = present(a_page(a_study_resource(1), next_page=next_page))
    prefetch = {"patient": present(a_patient_resource()), "studies": first}

    (card,) = cards_of(house, a_call(prefetch=prefetch, authorization=authorization()))

    assert "queued" in card.summary and house.dispatched == ["1.2.840.99999.1"]


def test_a_hanging_next_page_does_not_hold_the_answer(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)
    first = present(a_page(a_study_resource(), next_page=NEXT_PAGE))

    with hanging(house.record):
        (card,) = cards_of(house, a_call(prefetch={"studies": first}), budget_s=0.2)

    assert "signs of pneumonia" in card.summary


def test_what_a_client_found_before_its_error_is_used_when_nothing_better_can_be_had(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    house.record.own_scope = ""
    partly = Prefetch(PrefetchState.FAILED, a_bundle(a_study_resource()))
    prefetch = {"patient": present(a_patient_resource()), "studies": partly}

    (card,) = cards_of(house, a_call(prefetch=prefetch, authorization=authorization()))

    assert "queued" in card.summary and house.record.reads == []


def test_another_patient_s_prefetch_is_not_used(a_house: MakeHouse) -> None:
    house = a_house()
    wrong = present(a_patient_resource(id="p-2"))
    studies = present(a_bundle(a_study_resource()))

    cards_of(house, a_call(prefetch={"patient": wrong, "studies": studies}))

    assert [path for path, _ in house.record.reads] == ["Patient/p-1"]


def test_without_the_patient_nothing_new_is_asked_for(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.resources.clear()

    cards = cards_of(house, a_call(prefetch={"studies": present(a_bundle(a_study_resource()))}))

    assert cards == [] and house.dispatched == []


def a_study_at_an_endpoint() -> dict[str, Any]:
    return a_study_resource(endpoint=[{"reference": "Endpoint/e"}])


ENDPOINT = {
    "resourceType": "Endpoint",
    "id": "e",
    "connectionType": {"code": "dicom-wado-rs"},
    "address": "https://pacs.example.org/dicom-web",
}


def test_the_archive_s_endpoint_is_read_where_no_archive_is_registered(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    house.record.resources.append(ENDPOINT)
    call = a_call(
        prefetch={
            "patient": present(a_patient_resource()),
            "studies": present(a_bundle(a_study_at_an_endpoint())),
        }
    )

    cards_of(house, call, a_tenant(archive_base=None))

    job = house.jobs.get(house.doorbell.rung[0])
    assert job.study.archive_url == "https://pacs.example.org/dicom-web"


@pytest.mark.parametrize(
    "viewer", [ENDPOINT | {"id": "v", "connectionType": {"code": "ihe-iid"}}, None]
)
def test_an_endpoint_of_a_viewer_or_one_that_is_gone_does_not_hide_the_archive_s(
    a_house: MakeHouse, viewer: dict[str, Any] | None
) -> None:
    house = a_house()
    house.record.resources += [one for one in (viewer, ENDPOINT) if one]
    study = a_study_resource(endpoint=[{"reference": f"Endpoint/{one}"} for one in "ve"])
    call = a_call(
        prefetch={"patient": present(a_patient_resource()), "studies": present(a_bundle(study))}
    )

    cards_of(house, call, a_tenant(archive_base=None))

    job = house.jobs.get(house.doorbell.rung[0])
    assert job.study.archive_url == "https://pacs.example.org/dicom-web"


def test_an_endpoint_of_another_server_is_not_read_by_its_id_here(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.resources.append(ENDPOINT)
    elsewhere = {"reference": f"https://other.example.org/Endpoint/{ENDPOINT['id']}"}
    study = a_study_resource(endpoint=[elsewhere])
    call = a_call(
        prefetch={"patient": present(a_patient_resource()), "studies": present(a_bundle(study))}
    )

    cards_of(house, call, a_tenant(archive_base=None))

    job = house.jobs.get(house.doorbell.rung[0])
    assert job.study.archive_url is None
    assert house.record.reads == []


@pytest.mark.parametrize(
    ("failure", "asked_for"), [(EhrTimedOut("late"), 0), (EhrRefused("no"), 1)]
)
def test_an_endpoint_that_is_late_is_tried_by_the_next_hook(
    a_house: MakeHouse, failure: Any, asked_for: int
) -> None:
    house = a_house()
    house.record.failure = failure
    call = a_call(
        prefetch={
            "patient": present(a_patient_resource()),
            "studies": present(a_bundle(a_study_at_an_endpoint())),
        }
    )

    cards_of(house, call, a_tenant(archive_base=None))

    assert len(house.doorbell.rung) == asked_for


# --- when there is no answer -----------------------------------------------------------------


def test_ch2_54_no_source_at_all_names_the_key(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.own_scope = ""

    with pytest.raises(PrefetchUnavailable, match="studies"):
        cards_of(house, a_call(prefetch={}))

    assert house.audit.events[-1].outcome == "PrefetchUnavailable"


def test_no_source_but_the_ledger_is_a_source(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.own_scope = ""
    know(house)

    (card,) = cards_of(house, a_call(prefetch={}))

    assert "signs of pneumonia" in card.summary


@pytest.mark.parametrize("failure", [EhrBusy("busy"), EhrTimedOut("late"), EhrRefused("no")])
def test_an_ehr_error_is_one_calm_card_or_none(a_house: MakeHouse, failure: Any) -> None:
    house = a_house()
    house.record.failure = failure

    (card,) = cards_of(house, a_call(prefetch={}))
    assert "could not read" in card.summary and card.indicator == "info" and not card.links

    assert cards_of(house, a_call(prefetch={}), a_tenant(shows_running=False)) == []


def test_a_closed_ehr_where_we_are_no_client_is_no_source(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.failure = EhrRefused("401")

    with pytest.raises(PrefetchUnavailable):
        cards_of(house, a_call(prefetch={}), a_tenant(client_id=None))


def test_a_hanging_ehr_does_not_hold_the_answer(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)

    with hanging(house.record):
        (card,) = cards_of(house, a_call(prefetch={}), budget_s=0.2)

    assert "signs of pneumonia" in card.summary


def test_a_job_in_any_step_is_running(a_house: MakeHouse) -> None:
    house = a_house()
    cards_of(house)
    lease = house.jobs.take(house.doorbell.rung[0], "worker")
    assert lease is not None
    house.jobs.advance(lease, JobStep.INFERRING)

    (card,) = cards_of(house)

    assert "running" in card.summary
