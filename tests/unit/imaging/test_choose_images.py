"""A model's rules choose the images of a study before any is decoded."""

from dataclasses import replace
from typing import Any

import pytest
from pydicom import Dataset

from cds_service.adapters.pixels import DicomReader
from cds_service.adapters.routed_elements import routed_elements
from cds_service.domain.finding import Analysis, AnalysisStatus
from cds_service.domain.rule import All, Comparison, Not
from cds_service.domain.series_rules import SeriesRules
from cds_service.errors import UnreadableInstance
from cds_service.usecases.analyse_study import analyse_study
from cds_service.usecases.ports import SourceInstance
from tests.builders import a_patient
from tests.fakes.imaging import FakeClassifier, FakeReader, a_header, a_use
from tests.unit.imaging.dicom import a_film, as_file

UNDECODABLE = UnreadableInstance("damaged-pixels", "its image data are damaged")


def analysed(rules: SeriesRules, reader: FakeReader, *instances: bytes, **options: Any) -> Analysis:
    classifier = FakeClassifier(intended_use=a_use(series=rules))
    sources = [SourceInstance(one, path=one.decode()) for one in instances]
    return analyse_study(sources, reader=reader, classifier=classifier, **options)


def of_series(number: int, instance: int = 1, **changes: Any) -> Any:
    uid = f"1.2.840.99999.1.{number}"
    return a_header(series_uid=uid, sop_uid=f"{uid}.{instance}", series_number=number, **changes)


def test_an_image_that_no_rule_takes_is_not_decoded_and_is_no_gap() -> None:
    reader = FakeReader()
    ours = reader.holding(b"ours", 0.3, of_series(1, elements={"Manufacturer": "ACME"}))
    other = reader.holding(b"other", UNDECODABLE, of_series(2))

    analysis = analysed(
        SeriesRules(Comparison("Manufacturer", one_of=("ACME",))), reader, other, ours
    )

    assert [one.series_uid for one in analysis.findings] == ["1.2.840.99999.1.1"]
    assert analysis.instances == () and not analysis.is_partial


def test_the_best_series_alone_is_read_although_another_would_score_higher() -> None:
    reader = FakeReader()
    small = reader.holding(b"small", 0.9, of_series(1, elements={"Rows": 500.0}))
    large = reader.holding(b"large", 0.2, of_series(2, elements={"Rows": 3000.0}))
    rules = SeriesRules(only_best=True, prefer=(Comparison("Rows", least=2000),))

    analysis = analysed(rules, reader, small, large)

    assert [one.probability for one in analysis.findings] == [0.2]


def test_a_study_in_which_nothing_fits_says_why() -> None:
    reader = FakeReader()
    images = [reader.holding(b"%d" % number, 0.3, of_series(1, number)) for number in (1, 2, 3)]

    analysis = analysed(SeriesRules(max_images=2), reader, *images)

    assert analysis.status is AnalysisStatus.NOT_ANALYSED and analysis.reason is not None
    assert (analysis.reason.code, analysis.reason.text) == (
        "no-series",
        "made for frontal chest X-rays, no series fits: 3 images fit, more than 2",
    )


def test_a_lateral_film_counts_neither_for_a_series_nor_against_it() -> None:
    reader = FakeReader()
    front = reader.holding(b"front", 0.3, of_series(1, 1))
    side = reader.holding(b"side", 0.3, of_series(1, 2, view="LL"))

    analysis = analysed(SeriesRules(max_images=1), reader, front, side)

    assert analysis.status is AnalysisStatus.ANALYSED
    assert [one.code for one in analysis.instances] == ["view"]


def test_an_image_that_the_rules_leave_out_still_has_to_be_this_patients() -> None:
    reader = FakeReader()
    ours = reader.holding(b"ours", 0.3, of_series(1, elements={"Manufacturer": "ACME"}))
    theirs = reader.holding(b"theirs", 0.3, of_series(2, patient_id="MRN-2"))
    rules = SeriesRules(Comparison("Manufacturer", one_of=("ACME",)))

    analysis = analysed(rules, reader, ours, theirs, patient=a_patient())

    assert analysis.reason is not None and analysis.reason.code == "patient-mismatch"


def test_what_rules_name_is_read_from_a_real_header() -> None:
    film = a_film(
        Manufacturer="ACME",
        ImageType=["DERIVED", "PRIMARY"],
        KVP="65.5",
        SeriesDescription="Chest AP",
    )
    rule = All(
        (
            Comparison("Manufacturer", one_of=("acme",)),
            Comparison("ImageType", matches="^DERIVED"),
            Comparison("KVP", least=60, most=70),
            Not(Comparison("SeriesDescription", matches="(?i)lateral")),
        )
    )

    header = DicomReader().header(as_file(film))

    assert rule.judge(header.elements) is True
    assert hash(header) == hash(replace(header))


@pytest.mark.parametrize(
    ("stated", "is_read"),
    [(["L", "F"], True), (["R", "F"], False), (["F", "L"], False), ([], None)],
)
def test_a_rule_may_ask_that_a_film_is_neither_mirrored_nor_turned(
    stated: list[str], is_read: bool | None
) -> None:
    dataset = Dataset()
    dataset.PatientOrientation = stated

    rule = Comparison("PatientOrientation", one_of=(r"L\F",))

    assert rule.judge(routed_elements(dataset)) is is_read


@pytest.mark.parametrize("lie", ["", "sixty", "nan", "1e999", "9" * 40])
def test_a_number_that_is_none_is_not_stated(lie: str) -> None:
    """An element may hold anything; a value that cannot be compared says nothing."""
    dataset = Dataset()
    dataset.SeriesDescription = lie
    dataset.add_new("KVP", "LO", lie)

    assert "KVP" not in routed_elements(dataset)


@pytest.mark.parametrize(
    ("vr", "value", "text"), [("US", 1, "1"), ("IS", "5", "5"), ("SQ", [], "")]
)
def test_a_text_that_a_device_stored_otherwise_refuses_no_film(
    vr: str, value: object, text: str
) -> None:
    film = a_film()
    film.add_new("ProtocolName", vr, value)

    header = DicomReader().header(as_file(film))

    assert header.elements.get("ProtocolName", "") == text


def test_a_number_of_zero_is_stated() -> None:
    dataset = a_film(SeriesNumber=0)

    assert routed_elements(dataset)["SeriesNumber"] == 0
