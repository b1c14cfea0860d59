"""`sightline analyze`: the public JSON shape, the exit codes, and no traceback ever.

Source: docs/reference/analyze.md.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.runtime import OnnxClassifier
from cds_service.cli_analyze import analyze
from cds_service.errors import ModelMissing, OutputOutOfRange
from models.registry import card_of
from tests.unit.imaging.dicom import a_composite, a_film, as_file

KEYS = {"path", "study_uid", "status", "reason", "instances", "model", "findings", "timings_ms"}
FINDING_KEYS = {
    *("code", "system", "display", "probability", "threshold", "present"),
    *("series_uid", "sop_uid"),
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(analyze, [str(argument) for argument in arguments])


def studies(*arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("--json", *arguments).stdout.splitlines()]


def a_file(folder: Path, name: str = "film.dcm", **changes: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_file(a_film(a_composite(size=(96, 80)), **changes)))
    return path


def test_a_film_is_analysed_in_the_public_shape(tmp_path: Path) -> None:
    path = a_file(tmp_path)

    result = run("--json", path)

    (line,) = result.stdout.splitlines()
    study = json.loads(line)
    card = card_of("cxr_pneumonia_peds")
    (finding,) = study["findings"]
    assert result.exit_code == 0 and set(study) == KEYS and set(finding) == FINDING_KEYS
    assert study["path"] == [str(path)] and study["study_uid"] == "1.2.840.99999.1"
    assert study["status"] == "analysed" and study["reason"] is None and study["instances"] == []
    assert study["model"] == {"id": card.id, "version": card.version, "digest": card.digest}
    assert 0 <= finding["probability"] <= 1 and finding["present"] in (True, False, None)
    assert (
        finding["threshold"] == card.findings[0].threshold
        and finding["sop_uid"] == "1.2.840.99999.1.1.1"
    )
    assert set(study["timings_ms"]) == {"read", "prepare", "infer", "total"}
    assert study["timings_ms"]["total"] >= study["timings_ms"]["infer"] > 0


def test_what_the_header_lacks_can_be_given(tmp_path: Path) -> None:
    path = a_file(
        tmp_path, PatientAge=None, ViewPosition=None, Modality=None, BodyPartExamined=None
    )

    (silent,) = studies(path)
    (told,) = studies(
        path, "--patient-age", "003Y", "--view", "AP", "--modality", "DX", "--body-part", "CHEST"
    )

    assert silent["reason"]["code"] == "modality-unknown" and told["status"] == "analysed"


def test_an_age_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    result = run(a_file(tmp_path), "--patient-age", "three")

    assert result.exit_code == 2 and "003Y" in result.stderr


def test_a_folder_is_sorted_into_studies_and_other_files_are_counted(tmp_path: Path) -> None:
    a_file(tmp_path, "1/a.dcm", SOPInstanceUID="1.2.3.1")
    a_file(tmp_path, "1/b.dcm", SOPInstanceUID="1.2.3.2")
    a_file(tmp_path, "2/c", StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.3.3")
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "empty").write_bytes(b"")

    result = run("--json", tmp_path)

    paths = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    assert [[Path(path).name for path in study] for study in paths] == [["a.dcm", "b.dcm"], ["c"]]
    assert "2 other files skipped" in result.stderr


def test_files_that_state_no_study_are_studies_of_their_own(tmp_path: Path) -> None:
    a_file(tmp_path, "a.dcm", StudyInstanceUID=None)
    a_file(tmp_path, "b.dcm", StudyInstanceUID=None)

    found = studies(tmp_path)

    assert [study["study_uid"] for study in found] == [None, None]
    assert {study["status"] for study in found} == {"analysed"}


def test_one_unreadable_instance_does_not_refuse_the_others(tmp_path: Path) -> None:
    a_file(tmp_path, "blank.dcm", SOPInstanceUID="1.2.3.1", PixelData=bytes(2 * 96 * 80))
    a_file(tmp_path, "whole.dcm", SOPInstanceUID="1.2.3.2")

    (study,) = studies(tmp_path)

    assert study["status"] == "analysed" and study["findings"][0]["sop_uid"] == "1.2.3.2"
    assert study["instances"] == [
        {"path": str(tmp_path / "blank.dcm"), "code": "blank", "text": "the image is blank"}
    ]


def test_a_named_file_that_is_no_dicom_is_not_analysed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not DICOM")

    result = run("--json", path, tmp_path / "nowhere")

    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 1
    assert first["status"] == "not_analysed" and first["reason"]["code"] == "not-dicom"
    assert second["status"] == "not_analysed" and second["reason"]["code"] == "no-such-file"
    assert first["findings"] == [] and set(second) == KEYS


def test_the_exit_code_tells_the_worst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, hand = a_file(tmp_path), a_file(tmp_path, "hand.dcm", BodyPartExamined="HAND")
    hand.write_bytes(as_file(a_film(BodyPartExamined="HAND", StudyInstanceUID="1.2.9")))

    assert run(film).exit_code == 0
    assert run(film, hand).exit_code == 1

    def fail(*_: object) -> None:
        raise OutputOutOfRange("The model gave a value that is not a number.")

    monkeypatch.setattr(OnnxClassifier, "classify", fail)
    assert run(film, hand).exit_code == 2


def test_a_missing_model_is_our_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModelMissing("The model is not installed completely.")

    monkeypatch.setattr(ModelShelf, "package", missing)

    result = run("--json", a_file(tmp_path))

    study = json.loads(result.stdout)
    assert result.exit_code == 2 and study["status"] == "error" and study["model"] is None
    assert study["reason"] == {
        "code": "model-missing",
        "text": "The model is not installed completely",
    }


def test_an_unexpected_failure_is_an_outcome_and_not_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object) -> None:
        raise ZeroDivisionError("a value of the header")

    monkeypatch.setattr(OnnxClassifier, "classify", burst)

    result = run("--json", a_file(tmp_path))

    study = json.loads(result.stdout)
    assert result.exit_code == 2 and study["reason"]["code"] == "internal-error"
    assert "a value of the header" not in result.output and "Traceback" not in result.output


def test_a_heatmap_is_a_png_of_the_images_size(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    a_file(tmp_path, "in/a.dcm", SOPInstanceUID="1.2.3.1", PixelData=bytes(2 * 96 * 80))
    a_file(tmp_path, "in/b.dcm", SOPInstanceUID="1.2.3.2")

    assert run(tmp_path / "in", "--heatmap", folder).exit_code == 0

    (png,) = folder.iterdir()
    assert png.name == "b-pneumonia.png"
    with Image.open(png) as picture:
        assert picture.size == (80, 96)


def test_a_heatmap_carries_the_model_s_label_out_of_the_program(tmp_path: Path) -> None:
    run(a_file(tmp_path), "--heatmap", tmp_path / "maps")

    (png,) = (tmp_path / "maps").iterdir()
    with Image.open(png) as picture:
        assert picture.info["Disclaimer"] == card_of("cxr_pneumonia_peds").label


def test_a_heatmap_that_cannot_be_written_is_our_fault(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")

    result = run("--json", a_file(tmp_path), "--heatmap", tmp_path / "taken" / "maps")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["reason"]["code"] == "file-error"


def test_a_person_gets_a_table_and_the_models_label(tmp_path: Path) -> None:
    a_file(tmp_path, "hand.dcm", BodyPartExamined="HAND")
    a_file(tmp_path, "film.dcm", StudyInstanceUID="1.2.9")

    result = run(tmp_path)

    words = " ".join(result.stdout.replace("│", " ").split())
    assert "pneumonia" in words and "not analysed" in words and "Not a medical device" in words


def test_the_same_file_named_twice_counts_once(tmp_path: Path) -> None:
    path = a_file(tmp_path)

    assert len(studies(path, tmp_path, path)) == 1


@pytest.mark.slow
def test_every_file_of_the_shared_folder_gets_an_outcome_and_heatmaps_do_not_harm(
    shared_data: Path, tmp_path: Path
) -> None:
    """In a process of its own: a decoder or a PNG that ends it must not end the tests."""
    command = "from cds_service.cli_analyze import analyze; analyze()"
    arguments = [shared_data / "dicom", "--json", "--patient-age", "003Y", "--heatmap", tmp_path]

    done = subprocess.run(
        [sys.executable, "-c", command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    by_name = {Path(path).name: line for line in lines for path in line["path"]}
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert len(by_name) == len(list((shared_data / "dicom").glob("*.dcm")))
    assert by_name["RG1_J2KI.dcm"]["status"] == "analysed"
    assert by_name["966.dcm"]["findings"] and by_name["966.dcm"]["instances"]
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_a_named_file_that_cannot_be_reached_is_our_fault_and_stops_nothing(tmp_path: Path) -> None:
    unreachable = tmp_path / ("n" * 300)  # longer than a file system allows: stat itself fails

    first, second = studies(unreachable, a_file(tmp_path))

    assert first["status"] == "error" and first["reason"]["code"] == "file-unreadable"
    assert second["status"] == "analysed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_listed_is_said_and_stops_nothing(tmp_path: Path) -> None:
    a_file(tmp_path)
    locked = a_file(tmp_path, "locked/film.dcm").parent
    locked.chmod(0)

    result = run("--json", tmp_path)
    locked.chmod(0o700)

    reasons = {
        Path(s["path"][0]).name: s["reason"] for s in map(json.loads, result.stdout.splitlines())
    }
    assert reasons["film.dcm"] is None and reasons["locked"]["code"] == "file-unreadable"
    assert result.exit_code == 2


def test_a_file_name_that_is_not_utf_8_still_makes_valid_json(tmp_path: Path) -> None:
    path = a_file(tmp_path).rename(os.fsdecode(os.fsencode(tmp_path) + b"/film-\xff.dcm"))

    output = run("--json", path).stdout_bytes.decode("utf-8")

    assert json.loads(output)["path"] == [str(path)]


def test_a_folder_without_dicom_says_so(tmp_path: Path) -> None:
    result = run(tmp_path)

    assert result.exit_code == 0 and "no DICOM files found" in result.stderr
    assert result.stdout == ""
