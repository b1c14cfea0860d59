"""Binding: whether the images are this patient's, as EHR and DICOM header tell it.

Launch and hook name a Patient; the ImagingStudy must have it as its subject (fhir/imaging_study)
and every instance must carry the study's UID (analyse_study). Here the Patient and the accession
number are held against the header of each instance.

Texts say nothing about who else the images may show: a card is read by anybody.

Source: DICOM PS3.3 C.7.1.1 (Patient), C.7.2.1 (Accession Number), PS3.5 6.2.1 (PN);
FHIR R4 Patient, ImagingStudy.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import zip_longest
from typing import Protocol

from cds_service.domain.study import PatientFacts
from cds_service.errors import PatientMismatch

# Filled in by tools that take a date away; nobody who is X-rayed today was born then.
_NO_BIRTH_DATES = {date(1900, 1, 1), date(1901, 1, 1)}
# Some devices write the word or a small letter (PS3.5 CS allows neither).
_SEX = {"M": "male", "MALE": "male", "F": "female", "FEMALE": "female"}
_NAME_LIKENESS = 0.75  # below it names are no spelling of each other: "Meier" and "Meyer" have 0.8

# The codes of `mismatch`: an administrator looks at each.
MISMATCH_CODES = frozenset({"patient-mismatch", "other-study"})


class Strictness(StrEnum):
    """What a site wants proved before a number is shown."""

    STANDARD = "standard"  # the identifier, or where the EHR has none the birth date
    STRICT = "strict"  # identifier, birth date and sex; the accession number where the EHR has one
    OTHER_IDENTIFIERS = "other-identifiers"  # the archive numbers patients by itself: the rest must


_REQUIRED = {
    Strictness.STRICT: ("patient-id", "birth-date", "sex"),
    Strictness.OTHER_IDENTIFIERS: ("birth-date", "sex", "accession"),
}


class StatedPatient(Protocol):
    """Whose an image, or a study, is in DICOM's words; None where they are not said."""

    @property
    def patient_id(self) -> str | None:
        """Patient ID (0010,0020)."""

    @property
    def patient_id_issuer(self) -> str:
        """OID of who gave the Patient ID (0010,0024) > (0040,0032); "" where it is not said."""

    @property
    def patient_birth_date(self) -> date | None:
        """Patient's Birth Date (0010,0030)."""

    @property
    def patient_sex(self) -> str | None:
        """Patient's Sex (0010,0040): M, F, O."""

    @property
    def patient_name(self) -> str | None:
        """Patient's Name (0010,0010)."""

    @property
    def accession(self) -> str | None:
        """Accession Number (0008,0050)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What agreed, and what was odd about it without being a reason to refuse."""

    proofs: tuple[str, ...]  # codes
    notes: tuple[str, ...] = ()  # codes


def check_patient(
    header: StatedPatient,
    facts: PatientFacts,
    accessions: Sequence[str] = (),
    strictness: Strictness = Strictness.STANDARD,
) -> Binding:
    """Let an instance pass when EHR and header agree on whose it is.

    What both sides state must agree: one of the EHR's identifiers with the DICOM Patient ID (a
    header without one differs from an EHR that has any) and with its issuer, birth date, sex, and
    one of the study's accession numbers. What must have been stated besides, `strictness` says. A
    name that is spelled otherwise is noted only. Raises PatientMismatch, which names what differs
    by code.
    """
    stated = {one.strip() for one in accessions} - {""}
    compared = _compared(header, facts, stated)
    if strictness is Strictness.OTHER_IDENTIFIERS:
        compared.pop("patient-id", None)
    required = list(_REQUIRED.get(strictness, ()))
    if strictness is Strictness.STRICT and stated:
        required.append("accession")
    differs = [f"{code}-differs" for code, agrees in compared.items() if not agrees]
    differs += [f"{code}-missing" for code in required if code not in compared]
    if not differs and not {"patient-id", "birth-date"} & compared.keys():
        differs.append("nothing-to-compare")
    if differs:
        raise mismatch("patient-mismatch", tuple(differs))
    return Binding(tuple(compared), _name_notes(header, facts))


def _compared(header: StatedPatient, facts: PatientFacts, accessions: set[str]) -> dict[str, bool]:
    """Return what both sides state, by code, and whether it agrees."""
    compared: dict[str, bool] = {}
    if facts.identifiers:
        compared["patient-id"] = _has_number(header, facts)
    birth_date = known_birth_date(header)
    if facts.birth_date is not None and birth_date is not None:
        compared["birth-date"] = facts.birth_date == birth_date
    elif birth_date is not None and not birth_date.isoformat().startswith(facts.born_in):
        compared["birth-date"] = False  # a year that agrees proves nothing, one that differs does
    sex = _SEX.get((header.patient_sex or "").strip().upper())
    if sex is not None and facts.sex in _SEX.values():
        compared["sex"] = facts.sex == sex
    if header.accession and accessions:
        compared["accession"] = header.accession.strip() in accessions
    return compared


def _has_number(header: StatedPatient, facts: PatientFacts) -> bool:
    """Tell whether the Patient ID is one of the EHR's, by the same issuer where both name one.

    Two issuers may have given one number to two people; most name themselves in no common form.
    """
    patient_id, issuer = (header.patient_id or "").strip(), header.patient_id_issuer
    return any(
        patient_id == value.strip() != "" and (not issuer or not ours or issuer == ours)
        for value, ours in zip_longest(facts.identifiers, facts.issuers, fillvalue="")
    )


def known_birth_date(header: StatedPatient) -> date | None:
    """Return the header's birth date unless it is a filler."""
    return None if header.patient_birth_date in _NO_BIRTH_DATES else header.patient_birth_date


def mismatch(code: str, differs: tuple[str, ...] = ()) -> PatientMismatch:
    """Return the one refusal that a reader of the card may see for any mix-up."""
    return PatientMismatch(code, "images could not be matched to this patient", differs)


def _name_notes(header: StatedPatient, facts: PatientFacts) -> tuple[str, ...]:
    """Note a name that is none of the EHR's, in any order of its parts and spelling of its marks.

    Never a reason to refuse: people marry, and systems cut, fold and transcribe names.
    """
    ours = _letters(header.patient_name or "")
    theirs = [_letters(name) for name in facts.names]
    if not ours or not any(theirs):
        return ()
    best = max(SequenceMatcher(None, ours, name).ratio() for name in theirs if name)
    return () if best >= _NAME_LIKENESS else ("name-differs",)


def _letters(name: str) -> str:
    """Return the parts of a name in alphabetical order, without case, marks and titles."""
    alphabetic = name.partition("=")[0].split("^")[:3]  # then prefix and suffix (PS3.5 6.2.1)
    apart = unicodedata.normalize("NFKD", " ".join(alphabetic)).casefold()
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(sorted(re.findall(r"[^\W\d_]+", plain)))
