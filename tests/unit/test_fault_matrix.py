"""The fault matrix: every fault that is listed has its test, and every group its faults."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "reference" / "fault-matrix.md").read_text(encoding="utf-8")
GROUPS = ("Container", "Pixel data", "Grey scale", "Wrong image", "Patient mix-up", "Archive")
ROW = re.compile(r"^\| (?P<fault>[^|]+) \| (?P<outcome>[^|]+) \| `(?P<id>[^`]+)` \|$", re.MULTILINE)
ROWS = [(match["fault"], match["id"]) for match in ROW.finditer(PAGE)]


@pytest.mark.parametrize(("fault", "test_id"), ROWS, ids=[fault for fault, _ in ROWS])
def test_the_test_that_a_row_names_exists(fault: str, test_id: str) -> None:
    path, name = test_id.split("::")

    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))

    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("group", [*GROUPS, "Platform"])
def test_every_line_of_a_group_s_table_is_a_row_with_a_test(group: str) -> None:
    section = PAGE.split(f"\n## {group}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]

    assert len(lines) >= 4 and all(ROW.match(line) for line in lines)
