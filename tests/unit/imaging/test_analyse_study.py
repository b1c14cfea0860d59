"""One model over one study, with a reader and a classifier in memory."""

from dataclasses import replace
from math import nan

import pytest

from cds_service.domain.finding import (
    Activation,
    Analysis,
    AnalysisStatus,
    Coding,
    MapMethod,
)
from cds_service.domain.job import JobStep
from cds_service.errors import (
    InferenceFailed,
    OutputOutOfRange,
    StudyOutOfScope,
    StudyUnusable,
    UnreadableInstance,
)
from cds_service.usecases.analyse_study import analyse_study
from cds_service.usecases.ports import Classification, Heat, Pixels, SourceInstance
from tests.builders import a_patient
from tests.fakes.imaging import STUDY_UID, FakeClassifier, FakeReader, a_header, a_use

BROKEN = UnreadableInstance("damaged-pixels", "its image data are damaged")


def analysed(reader: FakeReader, *instances: bytes, **options: object) -> Analysis:
    options.setdefault("classifier", FakeClassifier())
    sources = [SourceInstance(instance, path=instance.decode()) for instance in instances]
    return analyse_study(sources, reader=reader, **options)  # type: ignore[arg-type]


def test_the_likeliest_image_decides() -> None:
    reader = FakeReader()
    images = [reader.holding(b"a", 0.2), reader.holding(b"b", 0.9), reader.holding(b"c", 0.5)]

    analysis = analysed(reader, *images)

    (finding,) = analysis.findings
    assert finding.probability == 0.9 and finding.present is True
    assert finding.sop_uid == reader.header(b"b").sop_uid
    assert analysis.status is AnalysisStatus.ANALYSED and analysis.reason is None
    assert analysis.study_uid == STUDY_UID and len(analysis.instance_digests) == 3


def test_a_broken_instance_is_named_and_does_not_refuse_the_others() -> None:
    reader = FakeReader()
    images = [reader.holding(b"broken", BROKEN), reader.holding(b"whole", 0.7)]

    analysis = analysed(reader, *images)

    assert analysis.status is AnalysisStatus.ANALYSED and len(analysis.instance_digests) == 1
    assert [(reason.path, reason.code) for reason in analysis.instances] == [
        ("broken", "damaged-pixels")
    ]


def test_an_object_without_an_image_is_passed_over() -> None:
    reader = FakeReader()
    report = reader.holding(b"report", header=a_header(modality="SR", rows=0, columns=0))

    assert analysed(reader, report, reader.holding(b"film")).findings
    assert analysed(reader, report).reason.code == "no-image"  # type: ignore[union-attr]


def test_the_reason_that_says_most_about_the_study_is_shown() -> None:
    reader = FakeReader()
    images = [
        reader.holding(b"report", header=a_header(rows=0)),
        reader.holding(b"broken", BROKEN),
        reader.holding(b"hand", header=a_header(body_part="HAND")),
        reader.holding(b"side 1", header=a_header(view="LL")),
        reader.holding(b"side 2", header=a_header(view="RL")),
    ]

    analysis = analysed(reader, *images)

    assert analysis.status is AnalysisStatus.NOT_ANALYSED and analysis.findings == ()
    assert analysis.reason is not None and analysis.reason.code == "view"
    assert len(analysis.instances) == 5


def test_an_object_of_several_frames_is_refused_by_a_model_that_names_none() -> None:
    reader = FakeReader()
    cine = reader.holding(b"cine", 0.9, header=a_header(frames=3))

    reason = analysed(reader, cine).reason

    assert reason is not None and reason.code == "multi-frame" and reader.frames_read == []


def test_a_model_reads_the_frame_that_its_card_names_and_the_finding_says_which() -> None:
    reader, second = FakeReader(), FakeClassifier(intended_use=a_use(frame=2))
    cine = reader.holding(b"cine", 0.9, header=a_header(frames=3))
    film = reader.holding(b"film", 0.8)
    short = reader.holding(b"short", 0.9, header=a_header(frames=1, sop_uid="1.2.3"))

    (finding,) = analysed(reader, cine, classifier=second).findings
    (of_film,) = analysed(reader, film, short, classifier=second).findings

    assert finding.frame == 2 and of_film.frame == 1 and reader.frames_read == [2, 1, 1]


def test_a_frame_beyond_the_last_one_is_refused() -> None:
    reader, fifth = FakeReader(), FakeClassifier(intended_use=a_use(frame=5))
    cine = reader.holding(b"cine", 0.9, header=a_header(frames=3))

    reason = analysed(reader, cine, classifier=fifth).reason

    assert reason is not None and reason.code == "no-such-frame"


def test_instances_that_the_ehr_counts_and_the_archive_does_not_have_make_it_partial() -> None:
    reader = FakeReader()
    images = [reader.holding(b"a", 0.4), reader.holding(b"b", 0.6)]

    fewer = analysed(reader, *images, stated_instances=4)

    assert fewer.is_partial and len(fewer.findings) == 1
    assert [reason.code for reason in fewer.unused] == ["partly-in-archive"] * 2
    for stated in (None, 0, 1, 2):
        assert not analysed(reader, *images, stated_instances=stated).is_partial


def test_an_absurd_count_names_a_bounded_number_of_instances() -> None:
    reader = FakeReader()

    analysis = analysed(reader, reader.holding(b"a", 0.4), stated_instances=999_999)

    assert len(analysis.unused) == 1000


def test_an_empty_study_is_not_analysed() -> None:
    analysis = analysed(FakeReader())

    assert analysis.reason is not None and analysis.reason.code == "no-instances"


def test_one_image_of_another_patient_refuses_the_whole_study() -> None:
    reader = FakeReader()
    images = [
        reader.holding(b"ours", 0.9),
        reader.holding(b"theirs", 0.9, header=a_header(patient_id="MRN-2")),
    ]

    analysis = analysed(reader, *images, patient=a_patient())

    assert analysis.findings == ()
    assert analysis.reason is not None and analysis.reason.code == "patient-mismatch"


@pytest.mark.parametrize("uid", ["1.2.3", None])
def test_an_instance_of_another_study_refuses_the_whole_study(uid: str | None) -> None:
    reader = FakeReader()
    images = [reader.holding(b"ours"), reader.holding(b"stray", header=a_header(study_uid=uid))]

    analysis = analysed(reader, *images, expected_study_uid=STUDY_UID)

    assert analysis.reason is not None and analysis.reason.code == "other-study"


def test_the_same_instance_twice_counts_once() -> None:
    reader = FakeReader()
    image = reader.holding(b"a", 0.4)

    assert len(analysed(reader, image, image).instance_digests) == 1


def test_two_different_images_under_one_uid_refuse_the_study() -> None:
    reader = FakeReader()
    images = [
        reader.holding(b"a", 0.4, header=a_header()),
        reader.holding(b"b", 0.8, header=a_header()),
    ]

    analysis = analysed(reader, *images)

    assert analysis.reason is not None and analysis.reason.code == "duplicate-uid"


def test_one_image_in_two_encodings_is_no_contradiction() -> None:
    reader = FakeReader()
    images = [
        reader.holding(b"a", 0.4, header=a_header()),
        reader.holding(b"b", 0.4, header=a_header()),
    ]

    assert analysed(reader, *images).status is AnalysisStatus.ANALYSED


@pytest.mark.parametrize("value", [nan, -0.1, 1.1])
def test_a_value_that_is_no_probability_is_our_failure(value: float) -> None:
    reader = FakeReader()

    with pytest.raises(OutputOutOfRange):
        analysed(reader, reader.holding(b"a", value))


def test_a_failing_model_is_our_failure_and_not_the_studys() -> None:
    reader = FakeReader()
    broken = FakeClassifier(fails_with=InferenceFailed("The model could not be run."))

    with pytest.raises(InferenceFailed):
        analysed(reader, reader.holding(b"a"), classifier=broken)


def test_an_image_that_the_model_turns_away_is_a_refusal() -> None:
    reader = FakeReader()
    fussy = FakeClassifier(fails_with=StudyOutOfScope("no-contrast", "the image has no contrast"))

    analysis = analysed(reader, reader.holding(b"a"), classifier=fussy)

    assert analysis.reason is not None and analysis.reason.code == "no-contrast"


def test_what_breaks_the_iteration_passes_through() -> None:
    def instances() -> object:
        yield SourceInstance(b"a")
        raise StudyUnusable("too-large", "it is larger than this service reads")

    reader = FakeReader()
    reader.holding(b"a")
    with pytest.raises(StudyUnusable):
        analyse_study(instances(), reader=reader, classifier=FakeClassifier())  # type: ignore[arg-type]


def test_each_step_is_told_once() -> None:
    reader, steps = FakeReader(), []
    images = [reader.holding(b"a"), reader.holding(b"b")]

    analysed(reader, *images, on_step=steps.append)

    assert steps == [JobStep.READING, JobStep.INFERRING]


def test_the_time_of_each_part_is_added_up() -> None:
    reader = FakeReader()
    ticks = iter(range(100))

    timings = analysed(
        reader, reader.holding(b"a"), reader.holding(b"b"), timer=lambda: float(next(ticks))
    ).timings

    assert (timings.prepare, timings.infer) == (2.0, 4.0)
    assert timings.read == 2000.0 and timings.total == 5000.0


def test_a_finding_names_every_check_that_its_image_passed() -> None:
    reader = FakeReader()

    with_patient = analysed(reader, reader.holding(b"a"), patient=a_patient())
    without = analysed(reader, reader.holding(b"b"))

    of_image = ("modality", "body-part", "view", "age", "size", "pixels")
    assert with_patient.findings[0].guards == ("patient-id", *of_image)
    assert without.findings[0].guards == of_image


class TwoFindings(FakeClassifier):
    """Says of each image a probability, and of a second finding the rest to 1."""

    explained = 0

    def classify(self, pixels: Pixels) -> Classification:
        (first,) = super().classify(pixels).findings
        heat = Heat(Activation(1, 1, (1.0,), MapMethod.OCCLUSION), None)
        second = replace(
            first,
            coding=Coding("urn:test", "second", "Second"),
            probability=1 - first.probability,
            present=1 - first.probability > self.threshold,
        )
        findings = tuple(replace(one, heat=None) for one in (first, second))

        def explain() -> tuple[Heat, ...]:
            self.explained += 1
            return heat, heat

        return Classification(findings, 1.0, 2.0, explain=explain)


def test_each_finding_comes_from_the_image_in_which_it_is_likeliest() -> None:
    reader = FakeReader()
    images = [reader.holding(b"a", 0.1), reader.holding(b"b", 0.7), reader.holding(b"c", 0.3)]

    first, second = analysed(reader, *images, classifier=TwoFindings()).findings

    assert (first.probability, first.sop_uid) == (0.7, reader.header(b"b").sop_uid)
    assert (second.probability, second.sop_uid) == (0.9, reader.header(b"a").sop_uid)
    assert first.coding != second.coding


def test_heat_that_is_slow_to_find_is_looked_for_only_where_it_points_at_something() -> None:
    reader, classifier = FakeReader(), TwoFindings()
    images = [reader.holding(b"a", 0.9), reader.holding(b"b", 0.8), reader.holding(b"c", 0.5)]

    present, absent = analysed(reader, *images, classifier=classifier).findings

    assert present.activation is not None
    assert present.activation.method is MapMethod.OCCLUSION
    assert absent.present is False and absent.activation is None
    assert classifier.explained == 1
