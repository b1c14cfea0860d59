"""The tutorial's commands and files do what it says, up to the demo that they need."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cds_service.adapters import ledger
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.cli import main

pytest.importorskip("onnx", reason="the onnx package makes the tutorial's model")

PAGE = Path(__file__).resolve().parents[3] / "docs/tutorial/your-own-model.md"


def blocks(kind: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [text for stated, text in found if stated == kind]


def test_the_tutorial_ends_with_its_model_enabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo-data").mkdir()
    ledger.upgrade(ledger.connect(f"sqlite:///{tmp_path / 'demo-data' / 'ledger.sqlite'}"))
    (program,), (entries,) = blocks("python"), blocks("yaml")
    commands = [line.split()[1:] for block in blocks("") for line in block.splitlines()]
    wanted = [words for words in commands if words[:1] == ["models"]]

    exec(compile(program, "bright.py", "exec"), {})
    for words in wanted:
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        if words[1] == "draft":
            card = Path("bright/card.yaml")
            filled = yaml.safe_load(card.read_text()) | yaml.safe_load(entries)
            card.write_text(yaml.safe_dump(filled))
        if words[1] == "enable":
            enabled = ModelShelf(tmp_path / "demo-data", "cxr_pneumonia_peds").enabled()
            assert enabled.everywhere == ("bright", "cxr_pneumonia_peds")

    steps = ["draft", "verify", "import", "enable", "list", "remove"]
    assert [words[1] for words in wanted] == steps
