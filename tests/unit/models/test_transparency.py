"""What a package says about itself beside its card."""

from importlib.resources import files
from pathlib import Path

import pytest

from cds_service.adapters.model_sheets import ANSWERS, sheet_of
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.model_store import import_package
from cds_service.domain.model_sheet import ATTRIBUTES, LOCAL, NOT_MEASURED_HERE, NOT_STATED
from cds_service.errors import ModelMissing
from models.contract import ModelCard
from models.registry import card_of, model_ids
from models.transparency import Transparency
from tests.unit.models.networks import a_foreign_package

PEDIATRIC = "cxr_pneumonia_peds"
NAMES = [name for _, questions in ATTRIBUTES for name, _ in questions]


def an_import(tmp_path: Path, transparency: str | None) -> ModelShelf:
    """A shelf with the paediatric card under another id, and this text beside it."""
    folder = tmp_path / "models" / "a_copy"
    folder.mkdir(parents=True)
    card = (files("models") / PEDIATRIC / "card.yaml").read_text(encoding="utf-8")
    (folder / "card.yaml").write_text(card.replace(f"id: {PEDIATRIC}", "id: a_copy"))
    if transparency is not None:
        (folder / ANSWERS).write_text(transparency)
    return ModelShelf(tmp_path, PEDIATRIC)


def test_there_are_31_attributes_in_9_groups_numbered_from_1() -> None:
    sheet = sheet_of(ModelShelf(None, PEDIATRIC), PEDIATRIC)

    assert len(ATTRIBUTES) == 9 and len(NAMES) == len(set(NAMES)) == 31
    numbers = [one.number for _, group in sheet.groups for one in group]
    assert numbers == list(range(1, 32))


def test_the_bundled_model_answers_all_but_what_only_a_site_can_measure() -> None:
    sheet = sheet_of(ModelShelf(None, PEDIATRIC), PEDIATRIC)

    open_ones = {one.name for _, group in sheet.groups for one in group if not one.answer}
    assert open_ones == LOCAL
    assert sheet.words("local_validity") == sheet.words("local_fairness") == NOT_MEASURED_HERE


@pytest.mark.parametrize("model_id", model_ids())
def test_the_answers_of_a_bundled_package_are_for_its_weights_and_to_known_questions(
    model_id: str,
) -> None:
    path = files("models") / model_id / ANSWERS
    if not path.is_file():
        pytest.skip(f"{model_id} brings no answers")
    said = Transparency.from_yaml(path.read_text(encoding="utf-8"))

    assert said.digest == card_of(model_id).digest
    assert set(said.answers) <= set(NAMES) - LOCAL


def test_the_figures_of_the_sheet_are_those_of_the_card() -> None:
    sheet = sheet_of(ModelShelf(None, PEDIATRIC), PEDIATRIC)
    figures = card_of(PEDIATRIC).details["performance"]["figures"]

    (auc,) = (one for one in sheet.figures if one.name == "AUC")
    assert (auc.value, auc.low, auc.high) == tuple(figures["auc"].values())
    assert auc.words in sheet.words("internal_validity")
    refused = next(table for table in sheet.tables if table.title == "What is refused")
    assert len(refused.rows) == len(figures["scope"])


@pytest.mark.parametrize("value", ["high", None, [0.9]], ids=str)
def test_a_figure_that_is_no_number_is_left_out_of_the_page(tmp_path: Path, value: object) -> None:
    auc = {"value": value, "low": 0.8, "high": 0.9}
    figures = {"auc": auc, "images": 40, "subgroups": {"girls": {"auc": auc}}}
    a_foreign_package(tmp_path / "models" / "halves", performance={"figures": figures})

    sheet = sheet_of(ModelShelf(tmp_path, PEDIATRIC), "halves")

    assert [one.name for one in sheet.figures] == ["Images"]
    assert [row[0] for table in sheet.tables for row in table.rows] == ["Girls"]


def test_a_package_without_answers_has_those_of_its_card(tmp_path: Path) -> None:
    sheet = sheet_of(an_import(tmp_path, None), "a_copy")

    assert sheet.words("intended_population") == "children aged 1-5"
    assert "fractures" in sheet.words("cautioned_uses")
    assert sheet.words("funding") == NOT_STATED and sheet.words("local_validity") != NOT_STATED


def test_a_package_cannot_say_how_the_model_does_at_a_hospital(tmp_path: Path) -> None:
    digest = card_of(PEDIATRIC).digest
    said = f"digest: {digest}\nanswers:\n  local_validity: Splendid.\n  funding: A grant.\n"

    sheet = sheet_of(an_import(tmp_path, said), "a_copy")

    assert sheet.words("funding") == "A grant."
    assert sheet.words("local_validity") == NOT_MEASURED_HERE


def test_the_reference_page_names_every_question() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "model-page.md"

    assert [name for name in NAMES if f"| `{name}` |" not in page.read_text()] == []


def test_answers_for_other_weights_are_left_out(tmp_path: Path) -> None:
    other = f"digest: sha256:{'0' * 64}\nanswers:\n  funding: A grant.\n"

    assert sheet_of(an_import(tmp_path, other), "a_copy").words("funding") == NOT_STATED


@pytest.mark.parametrize("broken", ["digest: [", "answers: {}\n", "digest: x\nanswers: 3\n"])
def test_answers_that_cannot_be_read_leave_the_card_readable(tmp_path: Path, broken: str) -> None:
    sheet = sheet_of(an_import(tmp_path, broken), "a_copy")

    assert sheet.words("funding") == NOT_STATED and sheet.limits


def test_a_model_that_is_not_installed_has_no_sheet() -> None:
    with pytest.raises(ModelMissing):
        sheet_of(ModelShelf(None, PEDIATRIC), "other")


def test_answers_come_in_with_an_imported_package(tmp_path: Path) -> None:
    package = a_foreign_package(tmp_path / "package")
    data = tmp_path / "data"
    data.mkdir()
    card = ModelCard.from_yaml((package / "card.yaml").read_text(encoding="utf-8"))
    (package / ANSWERS).write_text(f"digest: {card.digest}\nanswers:\n  funding: A grant.\n")

    import_package(package, data, ModelShelf(data, PEDIATRIC))

    assert sheet_of(ModelShelf(data, PEDIATRIC), card.id).words("funding") == "A grant."
