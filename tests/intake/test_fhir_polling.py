"""Polling a real FHIR server: searched, paged and read again over HTTP, with our own token."""

import signal
import subprocess
import sys
from collections import Counter
from threading import Thread

from cds_service.adapters.ledger import SqlIntakeCursors
from cds_service.domain.intake import Door, Reception
from cds_service.intake.fhir_polling import poll_fhir
from cds_service.settings import Settings
from tests.e2e.running_demo import until
from tests.intake.conftest import Hospital, environment

KNOWN, ASKED = Reception.KNOWN, Reception.ASKED
RUN = [sys.executable, "-m", "cds_service.cli", "intake", "run"]


def polled(hospital: Hospital) -> Counter[Reception]:
    return poll_fhir(hospital.tenant, hospital.desk, SqlIntakeCursors(hospital.house.engine))


def test_what_the_ehr_has_new_is_asked_for_and_only_once(hospital: Hospital) -> None:
    first = hospital.admit(1)
    before = polled(hospital)
    second = hospital.admit(2, patient="p-2")

    after = polled(hospital)

    assert before == Counter({ASKED: 1})
    assert after == Counter({ASKED: 1, KNOWN: 1})  # the overlap is read again
    assert [(one.study_uid, one.patient_id) for one in hospital.asked()] == [
        (first, "p-1"),
        (second, "p-2"),
    ]


def test_a_study_that_grew_is_asked_for_again(hospital: Hospital) -> None:
    hospital.admit(1)
    polled(hospital)

    hospital.admit(1, numberOfInstances=2)

    assert polled(hospital)[ASKED] == 1
    assert [one.instance_count for one in hospital.asked()] == [1, 2]


def test_more_studies_than_one_read_brings_are_all_asked_for(hospital: Hospital) -> None:
    for number in range(1, 131):
        hospital.admit(number)

    assert polled(hospital)[ASKED] == 130
    assert len({one.study_uid for one in hospital.asked()}) == 130
    assert polled(hospital)[ASKED] == 0


def test_a_closed_door_is_not_asked_and_an_open_one_is(hospital: Hospital) -> None:
    hospital.admit(1)

    closed = _run_once(hospital.settings)
    hospital.open(Door.FHIR_POLLING)
    opened = _run_once(hospital.settings)

    assert (closed, opened) == ("", "     1  asked\n")
    assert len(hospital.asked()) == 1


def test_the_poller_asks_until_it_is_told_to_stop(hospital: Hospital) -> None:
    hospital.open(Door.FHIR_POLLING)
    poller = subprocess.Popen([*RUN, "--every", "1"], env=environment(hospital.settings))
    try:
        hospital.admit(1)
        until(lambda: len(hospital.asked()) == 1)
        hospital.admit(2)
        until(lambda: len(hospital.asked()) == 2)
        poller.send_signal(signal.SIGTERM)

        assert poller.wait(60) == 0
    finally:
        poller.kill()


def test_several_pollers_at_once_make_one_job_for_a_study(hospital: Hospital) -> None:
    for number in range(1, 6):
        hospital.admit(number)
    pollers = [Thread(target=polled, args=(hospital,)) for _ in range(3)]

    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join()

    assert len(hospital.asked()) == 5


def _run_once(settings: Settings) -> str:
    """Return what `sightline intake run --once` prints."""
    command = [*RUN, "--once"]
    done = subprocess.run(
        command, env=environment(settings), check=True, capture_output=True, text=True
    )
    return done.stdout
