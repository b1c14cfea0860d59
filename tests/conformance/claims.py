"""Reads from the tests' source which requirements they claim; no test is run.

A test claims `ch2:83` by `ch2_83` in its name (`ch2_201_203` is two), and that or `@83` of SMART
App Launch by `@pytest.mark.requirement("ch2:83", ...)`.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
MARKER = "pytest.mark.requirement"
_IN_NAME = re.compile(r"_(ch2|lib)((?:_\d+)+)(?![0-9a-z])")
_ID = re.compile(r"(?:ch2|lib):\d+|@\d+")

Claims = dict[str, list[str]]  # requirement id -> "folder/test_module.py::test_name"


def collect(tests: Path = TESTS) -> Claims:
    """Return every claim of every test module below a folder, in the order of the files."""
    claims: Claims = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        where = path.relative_to(tests).as_posix()
        for name, requirement in claims_of(path.read_text(encoding="utf-8")):
            claims[requirement].append(f"{where}::{name}")
    return dict(claims)


def claims_of(source: str) -> Iterator[tuple[str, str]]:
    """Yield test name and requirement of each claim in a module; raise ValueError on a bad id."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            named = [
                f"{kind}:{number}"
                for kind, numbers in _IN_NAME.findall(node.name)
                for number in numbers.split("_")[1:]
            ]
            marked = [one for mark in node.decorator_list for one in _marked(mark)]
            for requirement in dict.fromkeys([*named, *marked]):
                yield node.name, requirement


def _marked(decorator: ast.expr) -> list[str]:
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != MARKER:
        return []
    ids = [ast.literal_eval(argument) for argument in decorator.args]
    for one in ids:
        if not _ID.fullmatch(one):
            raise ValueError(f"{one!r} is no requirement id")
    return ids
