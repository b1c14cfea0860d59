"""A refusal in another language: whole where every piece is known, else in general."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cds_service.domain import guards
from cds_service.domain.guards import check_header
from cds_service.domain.refusals import KINDS, PARTS, USES, WHOLE, said, said_in_general, said_whole
from cds_service.domain.study import HeaderOverrides
from cds_service.domain.vocabulary import REASON_CLAUSES
from cds_service.errors import StudyUnusable
from tests.fakes.imaging import a_header, a_use

ROOT = Path(__file__).parents[3]
USE = replace(a_use(), population=USES[0], projection=USES[1])


def loud(text: str) -> str:
    """Another language, which has a word for everything but dwarfs."""
    pieces = re.split(r"(%\(\w+\)s|dwarfs)", text)
    return "".join(piece if n % 2 else piece.upper() for n, piece in enumerate(pieces))


def refusals() -> Iterator[StudyUnusable]:
    """Yield what the guards say of headers that do not fit, each in its own way."""
    kinds = [*guards._MODALITY_WORDS, "XX", ""]
    parts = [*guards._BODY_PARTS, "NOSE"]
    changes: list[dict[str, object]] = [{"modality": kind} for kind in kinds]
    changes += [{"body_part": part} for part in parts]
    changes += [{"view": view} for view in ("LL", "OBLIQUE", "")]
    changes += [{"patient_age_days": days} for days in (1, 15, 40, 200, 30_000)]
    changes += [{"patient_age_days": None, "patient_birth_date": None}, {"rows": 8}]
    for change in changes:
        try:
            check_header(a_header(**change), USE, HeaderOverrides())
        except StudyUnusable as refusal:
            yield refusal


def test_whatever_the_guards_say_can_be_said_whole_in_another_language() -> None:
    known = {"age", "age-unknown", "body-part", "modality", "modality-unknown", "view"}
    assert known < {refusal.code for refusal in refusals()}
    for refusal in refusals():
        words = refusal.text.upper().replace("1 MONTH ", "1 MONTHS ").replace("1 DAY ", "1 DAYS ")
        assert said(refusal.code, refusal.text, loud) == words


def test_what_is_said_as_it_stands_is_translated_as_it_stands() -> None:
    for text in WHOLE:
        assert said_whole(text, loud) == text.upper()
    named = "its image format cannot be decoded here (JPEG XS)"
    assert said_whole(named, loud) == "ITS IMAGE FORMAT CANNOT BE DECODED HERE (JPEG XS)"


def test_a_piece_without_a_translation_makes_the_clause_a_general_one() -> None:
    text = "made for dwarfs, this patient is 61"

    assert said_whole(text, loud) is None
    assert said("age", text, loud) == "THE PATIENT'S AGE IS OUTSIDE WHAT THE MODEL WAS MADE FOR"


def test_what_nobody_foresaw_stays_as_it_is() -> None:
    assert said("odd", "the moon is full", loud) == "the moon is full"
    assert said_in_general("age", "the moon is full", lambda text: text) == "the moon is full"


def test_the_language_of_the_ledger_is_left_alone() -> None:
    for refusal in refusals():
        assert said(refusal.code, refusal.text, lambda text: text) == refusal.text


def test_every_word_of_the_guards_has_its_place() -> None:
    assert set(guards._MODALITY_WORDS.values()) < set(KINDS)
    assert {part.lower() for part in guards._BODY_PARTS} < set(PARTS)


def test_every_refusal_of_the_sources_has_a_clause_in_every_language() -> None:
    kinds = {StudyUnusable.__name__, *(one.__name__ for one in StudyUnusable.__subclasses__())}
    for path in (ROOT / "cds_service").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            code = call.args[0] if call.func.id in kinds else None
            if isinstance(code, ast.Constant):
                assert code.value in REASON_CLAUSES, (path.name, code.value)
