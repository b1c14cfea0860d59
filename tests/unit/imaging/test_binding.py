"""Whose images they are: identifier, birth date, sex and accession; the name is only a hint."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.binding import Strictness, check_patient
from cds_service.domain.study import InstanceHeader, PatientFacts
from cds_service.errors import PatientMismatch
from tests.builders import a_patient
from tests.fakes.imaging import a_header

BORN = date(2022, 6, 1)
WHOLE = {"patient_birth_date": BORN, "patient_sex": "M", "accession": "A-1"}


def differs(
    *accessions: str,
    strictness: Strictness = Strictness.STANDARD,
    facts: PatientFacts | None = None,
    **header: Any,
) -> tuple[str, ...]:
    """Return what the refusal names, none when the instance passes."""
    try:
        check_patient(a_header(**header), facts or a_patient(), accessions, strictness)
    except PatientMismatch as mismatch:
        assert mismatch.text == "images could not be matched to this patient"
        assert mismatch.differs
        return mismatch.differs
    return ()


def test_everything_that_agrees_is_named() -> None:
    binding = check_patient(a_header(**WHOLE), a_patient(), ("A-1",))

    assert binding.proofs == ("patient-id", "birth-date", "sex", "accession")
    assert check_patient(a_header(), a_patient()).proofs == ("patient-id",)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"patient_id": "MRN-2"}, "patient-id-differs"),
        ({"patient_id": None}, "patient-id-differs"),
        ({"patient_birth_date": date(2022, 6, 2)}, "birth-date-differs"),
        ({"patient_sex": "F"}, "sex-differs"),
        ({"patient_sex": "f"}, "sex-differs"),
        ({"patient_sex": "Female "}, "sex-differs"),
        ({"accession": "A-2"}, "accession-differs"),
    ],
)
@pytest.mark.parametrize("strictness", [Strictness.STANDARD, Strictness.STRICT])
def test_one_difference_is_a_mismatch(
    header: dict[str, Any], code: str, strictness: Strictness
) -> None:
    assert differs("A-1", strictness=strictness, **(WHOLE | header)) == (code,)


def test_sides_that_are_silent_are_not_compared() -> None:
    assert not differs("A-1", patient_birth_date=date(1900, 1, 1), patient_sex="O", accession=None)
    assert not differs(accession="A-9")


@pytest.mark.parametrize("patient_id", ["0MRN-1", "mrn-1", "MRN-10", "MRN", "MRN 1", "1"])
def test_a_number_that_is_only_like_the_ehr_s_is_another(patient_id: str) -> None:
    assert differs(patient_id=patient_id) == ("patient-id-differs",)
    assert not differs(patient_id=" MRN-1 ")


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        ("1.2.3", "1.2.3", True),
        ("1.2.3", "1.2.4", False),  # the same number, given by somebody else
        ("", "1.2.4", True),
        ("1.2.3", "", True),
    ],
)
def test_a_number_of_another_issuer_is_another(ours: str, theirs: str, agrees: bool) -> None:
    facts = a_patient(identifiers=("77", "MRN-1"), issuers=("1.2.4", ours))

    said = differs(facts=facts, patient_id_issuer=theirs)

    assert said == (() if agrees else ("patient-id-differs",))


def test_newborn_twins_are_told_apart_by_number_or_by_accession() -> None:
    facts = a_patient(identifiers=("MRN-1",), birth_date=BORN, sex="male", names=("Meier Boy A",))
    twin = WHOLE | {"patient_id": "MRN-2", "patient_name": "Meier^Boy B", "accession": "A-2"}

    assert differs("A-1", facts=facts, **twin) == ("patient-id-differs", "accession-differs")
    own_numbers = Strictness.OTHER_IDENTIFIERS
    assert differs("A-1", facts=facts, strictness=own_numbers, **twin) == ("accession-differs",)
    silent = twin | {"accession": None}
    missing = differs("A-1", facts=facts, strictness=own_numbers, **silent)
    assert missing == ("accession-missing",)


@pytest.mark.parametrize(
    ("born_in", "agrees"), [("2022", True), ("2022-06", True), ("2021", False)]
)
def test_of_a_birth_date_without_a_day_the_year_must_not_differ(born_in: str, agrees: bool) -> None:
    facts = a_patient(birth_date=None, born_in=born_in)

    assert differs(facts=facts, **WHOLE) == (() if agrees else ("birth-date-differs",))
    unnumbered = replace(facts, identifiers=())
    said = differs(facts=unnumbered, patient_birth_date=BORN)
    assert said == (("nothing-to-compare",) if agrees else ("birth-date-differs",))


def test_without_identifiers_the_birth_date_must_prove_it() -> None:
    nameless = a_patient(identifiers=())

    assert not differs(facts=nameless, patient_id="X", patient_birth_date=BORN)
    assert differs(facts=nameless, patient_id="X") == ("nothing-to-compare",)


def test_an_accession_number_alone_proves_nothing() -> None:
    nameless = a_patient(identifiers=(), birth_date=None)

    assert differs("A-1", facts=nameless, accession="A-1") == ("nothing-to-compare",)


def test_one_acquisition_for_two_orders_matches_by_either_number() -> None:
    assert not differs("A-1", "A-2", accession=" A-2 ")


def test_a_strict_site_wants_everything_stated() -> None:
    strict = Strictness.STRICT

    assert not differs("A-1", strictness=strict, **WHOLE)
    assert not differs(strictness=strict, **WHOLE)  # the EHR has no accession number
    missing = differs("A-1", strictness=strict)
    assert missing == ("birth-date-missing", "sex-missing", "accession-missing")


def test_an_archive_with_numbers_of_its_own_is_matched_by_all_the_rest() -> None:
    other = {**WHOLE, "patient_id": "PACS-77"}
    own_numbers = Strictness.OTHER_IDENTIFIERS

    assert not differs("A-1", strictness=own_numbers, **other)
    assert differs("A-1", strictness=own_numbers, patient_id="PACS-77") == (
        "birth-date-missing",
        "sex-missing",
        "accession-missing",
    )
    assert differs("A-1", strictness=own_numbers, **(other | {"accession": "A-2"}))


@given(
    st.sampled_from(["patient_id", "patient_birth_date", "patient_sex", "accession"]),
    st.sampled_from(list(Strictness)),
)
def test_no_strictness_lets_a_header_pass_that_the_standard_refuses_for_another_reason(
    field: str, strictness: Strictness
) -> None:
    wrong = {
        "patient_id": "MRN-2",
        "patient_birth_date": date(1990, 1, 1),
        "patient_sex": "F",
        "accession": "A-2",
    }
    header: InstanceHeader = replace(a_header(**WHOLE), **{field: wrong[field]})
    passes = field == "patient_id" and strictness is Strictness.OTHER_IDENTIFIERS

    try:
        check_patient(header, a_patient(), ("A-1",), strictness)
    except PatientMismatch:
        assert not passes
    else:
        assert passes


@pytest.mark.parametrize(
    ("ours", "theirs", "is_noted"),
    [
        ("Meyer^Anna Maria", "Meier Anna Maria", False),
        ("MÜLLER^JÜRGEN^^DR", "Muller Jurgen", False),
        ("Anna^Meier", "Meier Anna", False),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada Tarou", False),
        ("Smith^John", "Meier Anna", True),
        ("", "Meier Anna", False),
        ("Smith^John", "", False),
    ],
)
def test_a_name_that_is_none_of_the_ehrs_is_noted_and_never_refused(
    ours: str, theirs: str, is_noted: bool
) -> None:
    facts = a_patient(names=(theirs,) if theirs else ())

    binding = check_patient(a_header(patient_name=ours), facts)

    assert binding.notes == (("name-differs",) if is_noted else ())


def test_a_maiden_name_among_the_ehrs_names_is_no_difference() -> None:
    facts = a_patient(names=("Meier Anna", "Smith Anna"))

    assert check_patient(a_header(patient_name="SMITH^ANNA"), facts).notes == ()


def test_a_refusal_says_nothing_about_anybody() -> None:
    with pytest.raises(PatientMismatch) as refused:
        check_patient(
            a_header(patient_id="MRN-2", patient_name="Smith^John"), a_patient(names=("Meier",))
        )

    told = f"{refused.value} {refused.value.differs} {refused.value!r}"
    assert "MRN" not in told and "Smith" not in told and "Meier" not in told
