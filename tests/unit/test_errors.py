"""The tree at the top of errors.py is the tree of the classes, and every class has a use."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cds_service import errors
from cds_service.errors import SightlineError

REPOSITORY = Path(__file__).resolve().parents[2]
LINE = re.compile(
    r"^ {4}(?P<indent>[│ ]*)[├└]── (?P<name>\w+)(?: +(?P<status>\d{3}) +(?P<code>\S+))?"
)


def drawn() -> Iterator[tuple[str, int, str | None, str | None]]:
    for line in (errors.__doc__ or "").splitlines():
        if found := LINE.match(line):
            yield found["name"], len(found["indent"]) // 4 + 1, found["status"], found["code"]


def classes() -> dict[str, type[SightlineError]]:
    return {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, SightlineError)
    }


def test_the_drawing_has_every_class_at_its_depth() -> None:
    depth = {name: len(kind.mro()) for name, kind in classes().items()}
    root = depth.pop("SightlineError")

    assert {name: level for name, level, _, _ in drawn()} == {
        name: length - root for name, length in depth.items()
    }


@pytest.mark.parametrize(("name", "status", "code"), [(n, s, c) for n, _, s, c in drawn() if s])
def test_the_drawing_has_the_status_and_the_code_of_the_class(
    name: str, status: str, code: str
) -> None:
    kind = classes()[name]

    assert (kind.http_status, kind.issue_code) == (int(status), code)


def test_every_class_is_raised_or_caught_somewhere() -> None:
    sources = [*REPOSITORY.glob("cds_service/**/*.py"), *REPOSITORY.glob("smart_app/**/*.py")]
    text = "".join(source.read_text() for source in sources if source.name != "errors.py")

    assert {name for name in classes() if not re.search(rf"\b{name}\b", text)} == set()
