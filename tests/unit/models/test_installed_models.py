"""Packages come in checked, are enabled for every EHR or for one, and go again."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from cds_service.adapters import ledger, model_store
from cds_service.adapters.model_check import check_package
from cds_service.adapters.model_shelf import EnabledModels, ModelShelf, write_enabled
from cds_service.adapters.pixels import Radiograph
from cds_service.adapters.runtime import OnnxClassifier
from cds_service.cli import main
from cds_service.errors import ModelMissing, ModelRefused, SettingsInvalid, WeightsDigestMismatch
from models.registry import digest_of
from tests.builders import a_tenant
from tests.unit.models.networks import SIZE, a_bright_right, a_foreign_package, halves

DEFAULT = "cxr_pneumonia_peds"


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with every table and no line."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    engine = ledger.connect(f"sqlite:///{path}")
    ledger.upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture
def data(tmp_path: Path, empty_ledger: Path) -> Path:
    """The folder of an installation."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copyfile(empty_ledger, folder / "ledger.sqlite")
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return a_foreign_package(tmp_path / "package")


def shelf_of(data: Path) -> ModelShelf:
    return ModelShelf(data, DEFAULT)


def sightline(*words: object) -> Result:
    return CliRunner().invoke(main, ["models", *map(str, words)], catch_exceptions=False)


# --- importing and enabling -------------------------------------------------------------------


def test_a_model_is_imported_enabled_listed_and_removed(data: Path, package: Path) -> None:
    imported = sightline("import", package, "--data", data)
    enabled = sightline("enable", "halves", "--data", data)

    assert imported.exit_code == enabled.exit_code == 0
    assert shelf_of(data).enabled().of("any") == ("halves", DEFAULT)
    rows = [
        json.loads(line) for line in sightline("list", "--json", "--data", data).output.splitlines()
    ]
    assert {row["id"]: row["enabled"] for row in rows} == {
        DEFAULT: ["every EHR"],
        "halves": ["every EHR"],
        "pass_through": [],
    }
    assert sightline("verify", "halves", "--data", data).exit_code == 0
    assert "Only for tests." in sightline("show", "halves", "--data", data).output

    assert sightline("remove", "halves", "--data", data).exit_code == 0
    assert shelf_of(data).enabled().all() == (DEFAULT,)
    assert not (data / "models" / "halves").exists()
    assert package.exists()


def test_without_an_installation_the_bundled_models_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SIGHTLINE_DATA", raising=False)

    assert DEFAULT in sightline("list").output
    assert sightline("enable", "pass_through").exit_code == 2


def test_a_model_for_one_ehr_is_asked_there_only_and_first(data: Path, package: Path) -> None:
    engine = ledger.connect(f"sqlite:///{data / 'ledger.sqlite'}")
    ledger.SqlTenants(engine).add(a_tenant(id="t-1", name="North"))
    model_store.import_package(package, data, shelf_of(data))

    done = sightline("enable", "halves", "--ehr", "North", "--data", data)

    assert done.exit_code == 0, done.output
    assert shelf_of(data).enabled().of("t-1") == ("halves", DEFAULT)
    assert shelf_of(data).enabled().of("t-2") == (DEFAULT,)
    assert "North" in sightline("list", "--data", data).output
    assert sightline("enable", "halves", "--ehr", "South", "--data", data).exit_code == 2
    assert sightline("remove", "halves", "--ehr", "North", "--data", data).exit_code == 0
    assert shelf_of(data).enabled().all() == (DEFAULT,)
    assert "halves" in shelf_of(data).ids()  # it stays installed


def audited(data: Path) -> list[tuple[str, str, str | None, str]]:
    engine = ledger.connect(f"sqlite:///{data / 'ledger.sqlite'}")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT action, outcome, tenant_id, detail FROM audit_event ORDER BY seq"
        )
        return [(*row,) for row in rows]


def test_every_change_and_every_try_is_in_the_audit_log(data: Path, package: Path) -> None:
    engine = ledger.connect(f"sqlite:///{data / 'ledger.sqlite'}")
    ledger.SqlTenants(engine).add(a_tenant(id="t-1", name="North"))

    for words in (
        ("import", package),
        ("enable", "halves", "--ehr", "North"),
        ("remove", "halves", "--ehr", "North"),
        ("remove", "halves", "--ehr", "North"),  # not enabled any more
        ("remove", "halves"),
        ("enable", "halves"),  # not there any more
    ):
        sightline(*words, "--data", data)

    known = f"model halves 1.0.0 {digest_of(halves())}"
    assert audited(data) == [
        ("model-imported", "success", None, known),
        ("model-enabled", "success", "t-1", known),
        ("model-removed", "success", "t-1", known),
        ("model-removed", "ModelRefused", "t-1", "model halves"),
        ("model-removed", "success", None, known),
        ("model-enabled", "ModelMissing", None, "model halves"),
    ]


def test_what_cannot_be_noted_is_not_done(tmp_path: Path, package: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()

    assert sightline("import", package, "--data", bare).exit_code == 2
    assert not (bare / "models").exists()


def test_the_last_model_for_every_ehr_stays(data: Path) -> None:
    with pytest.raises(ModelRefused, match="enable another first"):
        model_store.remove(DEFAULT, None, data, shelf_of(data))


def test_a_change_is_seen_without_a_restart(data: Path, package: Path) -> None:
    running = shelf_of(data)
    assert running.enabled().all() == (DEFAULT,)

    model_store.import_package(package, data, shelf_of(data))
    model_store.enable("halves", None, data, shelf_of(data))

    assert running.enabled().all() == ("halves", DEFAULT)
    assert running.card("halves").title == "Bright halves"
    card = data / "models" / "halves" / "card.yaml"
    card.write_text(card.read_text().replace("Bright halves", "Brighter halves"))
    assert running.card("halves").title == "Brighter halves"


def test_the_same_version_with_other_contents_is_refused(tmp_path: Path, data: Path) -> None:
    model_store.import_package(a_foreign_package(tmp_path / "one"), data, shelf_of(data))
    changed = a_foreign_package(tmp_path / "two", label="Changed.")
    newer = a_foreign_package(tmp_path / "three", label="Changed.", version="1.0.1")

    with pytest.raises(ModelRefused, match="new version"):
        model_store.import_package(changed, data, shelf_of(data))
    model_store.import_package(newer, data, shelf_of(data))

    assert shelf_of(data).card("halves").version == "1.0.1"
    assert [path.name for path in (data / "models").iterdir()] == ["halves"]


def test_a_model_that_came_with_sightline_is_not_replaced(tmp_path: Path, data: Path) -> None:
    imposter = a_foreign_package(tmp_path / "one", id=DEFAULT)

    with pytest.raises(ModelRefused, match="comes with Sightline"):
        model_store.import_package(imposter, data, shelf_of(data))


def test_a_package_with_a_problem_does_not_come_in(tmp_path: Path, data: Path) -> None:
    wrong = a_foreign_package(tmp_path / "one", weights__digest="sha256:" + "0" * 64)

    done = sightline("import", wrong, "--data", data)

    assert done.exit_code == 2 and not (data / "models").exists()


def test_what_is_enabled_is_read_or_refused_whole(data: Path) -> None:
    write_enabled(data, EnabledModels(("a", "b"), {"t-1": ("c", "a"), "t-2": ()}))

    assert shelf_of(data).enabled() == EnabledModels(("a", "b"), {"t-1": ("c", "a")})
    assert shelf_of(data).enabled().all() == ("a", "b", "c")
    (data / "models.json").write_text("{")
    with pytest.raises(SettingsInvalid, match=r"models\.json"):
        shelf_of(data).enabled()


def test_a_changed_byte_stops_whoever_loads_the_model(data: Path, package: Path) -> None:
    model_store.import_package(package, data, shelf_of(data))
    path = data / "models" / "halves" / "model.onnx"
    weights = bytearray(path.read_bytes())
    weights[-1] ^= 1
    path.write_bytes(weights)

    with pytest.raises(WeightsDigestMismatch, match="halves is not used: its weights are not"):
        shelf_of(data).package("halves")
    with pytest.raises(ModelRefused, match="digest"):
        model_store.enable("halves", None, data, shelf_of(data))


def test_a_model_that_is_not_installed_is_missing(data: Path) -> None:
    with pytest.raises(ModelMissing, match="no model absent is installed"):
        shelf_of(data).package("absent")
    with pytest.raises(ModelMissing):
        model_store.enable("../absent", None, data, shelf_of(data))


# --- verifying --------------------------------------------------------------------------------


def problems_of(folder: Path) -> dict[str, str]:
    return {check.name: check.problem for check in check_package(folder) if check.problem}


@pytest.mark.parametrize("model_id", [DEFAULT, "pass_through"])
def test_the_bundled_models_hold(model_id: str) -> None:
    checks = check_package(Path(str(ModelShelf(None, DEFAULT).folder(model_id))))

    assert [check.name for check in checks if check.problem] == []
    assert checks[-1].name == "golden" and "off by" in checks[-1].note


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"title": None}, "card", "title"),
        ({"weights__digest": "sha256:" + "0" * 64}, "digest", "not those"),
        ({"weights__opset": 18}, "opset", "the card says 18, the file says 17"),
        ({"input__name": "image"}, "names", "pixels, not image"),
        ({"output__scores__name": "logits"}, "names", "out, not logits"),
        ({"input__size": SIZE * 2}, "names", "its input is"),
        ({"input__channels": 3}, "names", "its input is"),
        ({"output__scores__kind": "probability"}, "run", "card excludes"),
    ],
    ids=str,
)
def test_each_problem_is_named(
    tmp_path: Path, changes: dict[str, Any], name: str, words: str
) -> None:
    assert words in problems_of(a_foreign_package(tmp_path / "one", **changes))[name]


def test_an_old_opset_and_a_missing_file_are_named(tmp_path: Path) -> None:
    old = a_foreign_package(tmp_path / "old", halves(opset=8))
    empty = a_foreign_package(tmp_path / "empty")
    (empty / "model.onnx").unlink()
    (tmp_path / "nothing").mkdir()

    assert "older than" in problems_of(old)["opset"]
    assert problems_of(empty) == {"weights": "there is no model.onnx"}
    assert problems_of(tmp_path / "nothing") == {"card": "there is no card.yaml"}


@pytest.mark.parametrize(("off", "is_right"), [(0.0, True), (5e-5, True), (2e-4, False)])
def test_golden_answers_hold_to_a_ten_thousandth(package: Path, off: float, is_right: bool) -> None:
    tensor = np.zeros((2, 1, SIZE, SIZE), np.float32)
    tensor[1, :, :, SIZE // 2 :] = 1.0
    answers = np.array([[0, 0], [0, 10]], np.float32) + np.float32(off)
    np.savez(package / "golden.npz", input=tensor, out=answers)

    assert ("golden" not in problems_of(package)) is is_right


INPUT, ANSWERS = np.zeros((2, 1, 28, 28), np.float32), np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    "arrays",
    [
        {"input": INPUT[:0], "out": ANSWERS[:0]},
        {"input": INPUT, "out": np.array([["a", "b"]] * 2)},
        {"input": INPUT, "out": np.zeros((2, 2), "M8[s]")},
        {"grey": np.array(["a"]), "out": ANSWERS},
        {"grey": np.float32(1), "out": ANSWERS},
    ],
    ids=["none", "texts", "dates", "grey-texts", "grey-number"],
)
def test_golden_arrays_that_are_no_numbers_are_a_problem(
    package: Path, arrays: dict[str, Any]
) -> None:
    np.savez(package / "golden.npz", **arrays)

    assert problems_of(package)["golden"] == "golden.npz cannot be read"


def test_a_golden_array_larger_than_the_machine_is_a_problem(package: Path) -> None:
    entries = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    with zipfile.ZipFile(package / "golden.npz", "w") as archive:
        archive.writestr("input.npy", b"\x93NUMPY\x01\x00\x76\x00" + entries.ljust(117) + b"\n")

    assert problems_of(package)["golden"] == "golden.npz cannot be read"


def test_a_golden_file_under_a_password_is_a_problem(package: Path) -> None:
    path = package / "golden.npz"
    np.savez(path, input=INPUT, out=ANSWERS)
    locked = bytearray(path.read_bytes())
    for flags in (6, locked.find(b"PK\x01\x02") + 8):
        locked[flags] |= 1
    path.write_bytes(locked)

    assert problems_of(package)["golden"] == "golden.npz cannot be read"


def test_golden_answers_of_another_model_are_a_problem(package: Path) -> None:
    np.savez(package / "golden.npz", input=np.zeros((1, 1, 2, 2), np.float32), out=np.zeros((1, 2)))
    assert "gives no out" in problems_of(package)["golden"]

    np.savez(package / "golden.npz", other=np.zeros(1))
    assert "no input" in problems_of(package)["golden"]

    (package / "golden.npz").write_bytes(b"no archive")
    assert "cannot be read" in problems_of(package)["golden"]


@pytest.mark.parametrize("command", [["models", "list"], ["route", "film.dcm"]], ids=str)
def test_a_data_folder_that_is_not_there_is_not_taken_for_an_empty_one(
    tmp_path: Path, command: list[str]
) -> None:
    done = CliRunner().invoke(main, [*command, "--data", str(tmp_path / "mistyped")])

    assert done.exit_code == 2 and "does not exist" in done.output


# --- drafting ---------------------------------------------------------------------------------


def filled(text: str) -> str:
    """Fill in every gap as a person would, with something."""
    return text.replace("FILL IN:", "Filled:")


def test_a_draft_knows_what_the_file_says_and_is_refused_until_it_is_filled_in(
    tmp_path: Path, data: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(halves(channels=3, layout="NHWC"))
    folder = tmp_path / "my-model"

    drafted = sightline("draft", tmp_path / "model.onnx", folder)

    card = yaml.safe_load((folder / "card.yaml").read_text())
    assert drafted.exit_code == 0 and card["id"] == "my_model"
    assert (card["input"]["size"], card["input"]["channels"]) == (SIZE, 3)
    assert card["input"]["layout"] == "NHWC" and len(card["output"]["findings"]) == 2
    assert "still to be filled in" in problems_of(folder)["card"]
    text = filled((folder / "card.yaml").read_text())
    for number in (0, 1):  # each finding needs a code of its own
        text = text.replace("'Filled: the code'", f"'c-{number}'", 1)
    (folder / "card.yaml").write_text(text)
    assert problems_of(folder) == {}


def a_bundle(root: Path, metadata: str) -> Path:
    """A MONAI bundle that was exported to ONNX."""
    bundle = root / "bundle"
    for name, data in (
        ("configs/metadata.json", metadata.encode()),
        ("models/model.onnx", halves()),
    ):
        (bundle / name).parent.mkdir(parents=True)
        (bundle / name).write_bytes(data)
    return bundle


def test_a_monai_bundle_tells_title_range_and_findings(tmp_path: Path) -> None:
    metadata = {
        "version": "0.3.1",
        "name": "Halves",
        "authors": "MONAI team",
        "intended_use": "research",
        "network_data_format": {
            "inputs": {"image": {"num_channels": 1, "value_range": [-1, 1]}},
            "outputs": {
                "pred": {"type": "probabilities", "channel_def": {"0": "left", "1": "right"}}
            },
        },
    }
    bundle = a_bundle(tmp_path, json.dumps(metadata))

    assert sightline("draft", bundle, tmp_path / "mine").exit_code == 0

    card = yaml.safe_load((tmp_path / "mine" / "card.yaml").read_text())
    assert (card["version"], card["title"], card["developer"]) == ("0.3.1", "Halves", "MONAI team")
    assert card["input"]["recipe"]["values"] == [-1.0, 1.0]
    assert card["output"]["scores"] == {"name": "out", "kind": "probability"}
    assert [one["display"] for one in card["output"]["findings"]] == ["left", "right"]


@pytest.mark.parametrize("metadata", ["{", "[]", "[" * 100_000], ids=["cut off", "a list", "deep"])
def test_metadata_that_are_no_object_leave_no_half_a_package(tmp_path: Path, metadata: str) -> None:
    bundle, folder = a_bundle(tmp_path, metadata), tmp_path / "mine"

    done = sightline("draft", bundle, folder)

    assert done.exit_code == 2 and done.output.count("\n") == 1 and "metadata.json" in done.output
    assert not folder.exists()


def test_metadata_of_other_kinds_are_left_to_fill_in(tmp_path: Path) -> None:
    image = {"spatial_shape": ["*", 2], "value_range": [0, [1]]}
    known = {"version": None, "network_data_format": {"inputs": {"image": image}, "outputs": []}}
    folder = tmp_path / "mine"

    assert sightline("draft", a_bundle(tmp_path, json.dumps(known)), folder).exit_code == 0

    card = yaml.safe_load((folder / "card.yaml").read_text())
    assert (card["version"], card["input"]["recipe"]["values"]) == ("1.0.0", [0.0, 1.0])
    assert "still to be filled in" in problems_of(folder)["card"]


@pytest.mark.parametrize("case", ["no bundle", "no ONNX file", "a card is there"])
def test_what_cannot_be_drafted_is_one_sentence(tmp_path: Path, case: str) -> None:
    source, folder = tmp_path / "source", tmp_path / "mine"
    if case == "no bundle":
        source.mkdir()
    elif case == "no ONNX file":
        source.write_bytes(b"nothing")
    else:
        source.write_bytes(halves())
        a_foreign_package(folder)

    done = sightline("draft", source, folder)

    assert done.exit_code == 2 and done.output.count("\n") == 1


# --- PassThrough ------------------------------------------------------------------------------


def test_pass_through_gives_its_three_findings_for_any_image_and_says_what_they_are() -> None:
    shelf = ModelShelf(None, DEFAULT)
    classifier = OnnxClassifier(shelf.package("pass_through"))

    outcomes = [
        classifier.classify(Radiograph(image)).findings
        for image in (a_bright_right(), a_bright_right()[:, ::-1])
    ]

    assert outcomes[0] == outcomes[1]
    assert [one.present for one in outcomes[0]] == [True, None, False]
    assert all("not from the image" in one.coding.display for one in outcomes[0])
    assert all(one.heat is not None and one.heat.region is None for one in outcomes[0])
    card = shelf.card("pass_through")
    assert "not from any image" in card.title and "say nothing about the image" in card.label
