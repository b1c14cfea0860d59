"""A chart that a user opened from the worklist: over the studies that this user can read."""

from collections.abc import Iterable
from dataclasses import dataclass

from cds_service.domain.worklist import ChartStudy
from smart_app.user_chart import ReadableJobs, ReadableResults
from tests.builders import a_patient, a_result, a_study
from tests.fakes.ledger import FakeJobs, FakeResults


@dataclass(frozen=True)
class Readable:
    """A user's token that reads these ImagingStudy resources."""

    ids: tuple[str, ...]
    gave_up: bool = False

    def among(self, studies: Iterable[ChartStudy]) -> set[ChartStudy]:
        return {study for study in studies if study.imaging_study_id in self.ids}


def test_only_what_this_user_can_read_is_said_to_be_analysing() -> None:
    jobs = FakeJobs()
    for number in (1, 2):
        study = a_study(study_uid=f"1.2.{number}", imaging_study_id=f"s-{number}")
        jobs.open(f"key-{number}", study, a_patient(), "cxr_pneumonia_peds")

    found = ReadableJobs(jobs, "t-1", Readable(("s-2",))).analysing("t-1", "p-1")

    assert [job.study.study_uid for job in found] == ["1.2.2"]
    assert ReadableJobs(jobs, "t-2", Readable(("s-2",))).analysing("t-1", "p-1") == []


@dataclass(frozen=True)
class Numbered:
    """A user's token that reads these orders."""

    ids: tuple[str, ...]
    gave_up: bool = False

    def among(self, studies: Iterable[ChartStudy]) -> set[ChartStudy]:
        return {study for study in studies if study.service_request_id in self.ids}


def test_a_result_without_an_imaging_study_is_asked_for_by_its_job_s_order() -> None:
    jobs, results = FakeJobs(), []
    for number in (1, 2, 3):
        uid = f"1.2.{number}"
        ordered = {"accession": f"A-{number}", "service_request_id": f"o-{number}"}
        study = a_study(study_uid=uid, imaging_study_id=None, **ordered)
        if number != 3:
            jobs.open(f"key-{number}", study, a_patient(), "cxr_pneumonia_peds")
        stated = {"id": f"r-{number}", "key": f"k-{number}", "study_uid": uid}
        results.append(a_result(imaging_study_id=None, **stated))
    readable = Numbered(("o-2", "o-3"))

    found = ReadableResults(FakeResults(stored=results), jobs, "t-1", readable).studies_of(
        "t-1", "p-1"
    )

    assert [one.study_uid for one in found] == ["1.2.2"]
