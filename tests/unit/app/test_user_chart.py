"""A chart that a user opened from the worklist: over the studies that this user can read."""

from collections.abc import Iterable
from dataclasses import dataclass

from cds_service.domain.worklist import ChartStudy
from smart_app.user_chart import ReadableJobs
from tests.builders import a_patient, a_study
from tests.fakes.ledger import FakeJobs


@dataclass(frozen=True)
class Readable:
    """A user's token that reads these ImagingStudy resources."""

    ids: tuple[str, ...]

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
