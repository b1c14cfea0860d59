"""`sightline route`: which models would read a study, and which rule said what."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds_service.adapters import model_store
from cds_service.adapters.ledger import SqlTenants, connect, upgrade
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.cli import main
from cds_service.domain.tenant import Vendor
from tests.builders import a_tenant
from tests.unit.imaging.dicom import a_film, as_file
from tests.unit.models.networks import a_finding_entry, a_foreign_package

BUNDLED = "cxr_pneumonia_peds"
RULES = {
    "rule": {
        "all": [
            {"element": "Manufacturer", "one_of": ["ACME"]},
            {"not": {"element": "SeriesDescription", "matches": "(?i)scout"}},
        ]
    },
    "series": "best",
    "prefer": [{"element": "Rows", "min": 200}],
}


def a_study(folder: Path, **series: dict[str, Any]) -> Path:
    """Write one film for each series, named after it."""
    folder.mkdir()
    for number, (name, elements) in enumerate(series.items(), 1):
        uid = f"1.2.840.99999.1.{number}"
        film = a_film(SeriesInstanceUID=uid, SOPInstanceUID=f"{uid}.1", **elements)
        (folder / f"{name}.dcm").write_bytes(as_file(film))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An installation in which `halves`, with rules, is asked before the bundled model."""
    folder = tmp_path / "data"
    folder.mkdir()
    shelf = ModelShelf(folder, BUNDLED)
    model_store.import_package(a_foreign_package(tmp_path / "p", routing=RULES), folder, shelf)
    model_store.enable("halves", None, folder, shelf)
    return folder


def route(*words: object) -> Result:
    return CliRunner().invoke(main, ["route", *map(str, words)], catch_exceptions=False)


def test_every_model_says_what_it_would_do_with_every_series(tmp_path: Path, data: Path) -> None:
    study = a_study(
        tmp_path / "study",
        ours={"Manufacturer": "Acme", "SeriesDescription": "Chest"},
        scout={"Manufacturer": "Acme", "SeriesDescription": "SCOUT"},
        theirs={"Manufacturer": "Other"},
    )

    said = route(study, "--data", data)

    assert said.exit_code == 0
    assert said.output.splitlines() == [
        "halves 1.0.0: is asked",
        "  series 1.2.840.99999.1.1: reads 1 of 1 image, the best series",
        "  series 1.2.840.99999.1.2: leaves 0 of 1 image, no image of it fits",
        "  series 1.2.840.99999.1.3: leaves 0 of 1 image, no image of it fits",
        "cxr_pneumonia_peds 0.2.0: is asked",
        "  series 1.2.840.99999.1.1: reads 1 of 1 image, it fits",
        "  series 1.2.840.99999.1.2: reads 1 of 1 image, it fits",
        "  series 1.2.840.99999.1.3: reads 1 of 1 image, it fits",
    ]


def test_the_explanation_shows_what_each_part_of_a_rule_said(tmp_path: Path, data: Path) -> None:
    study = a_study(tmp_path / "study", film={"SeriesDescription": "SCOUT\x1b[31m"})

    said = route(study, "--data", data, "--explain")

    assert said.output.splitlines()[:7] == [
        "halves 1.0.0: is asked",
        "  series 1.2.840.99999.1.1: leaves 0 of 1 image, no image of it fits",
        f"    {study / 'film.dcm'}: inside the intended use",
        "      all of: no",
        "        Manufacturer is ACME: not stated",
        "        not: no",
        "          SeriesDescription matches (?i)scout: yes (SCOUT?[31m)",
    ]


def test_a_lateral_film_is_refused_by_the_intended_use_and_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGHTLINE_DATA", raising=False)
    study = a_study(tmp_path / "study", side={"ViewPosition": "LL"})

    said = route(study, "--explain")

    assert said.exit_code == 1
    assert "made for frontal chest X-rays, this is a lateral view" in said.output


def test_for_machines_there_is_an_object_for_each_model(tmp_path: Path, data: Path) -> None:
    study = a_study(tmp_path / "study", film={"Modality": "CT"})

    said = route(study, "--data", data, "--json")

    first, second = (json.loads(line) for line in said.output.splitlines())
    assert said.exit_code == 1
    assert (first["model"], first["asked"]) == ("halves", True)
    assert first["why_not"] == "another modality; asked because no other fits"
    assert (second["model"], second["asked"]) == (BUNDLED, False)
    assert second["why_not"] == "another modality"
    assert first["series"][0]["images"][0]["is_read"] is False


def test_another_version_of_the_same_is_not_asked_too(tmp_path: Path, data: Path) -> None:
    """Two models that look for the same finding are alternatives; the one asked first reads."""
    entry = a_finding_entry("left", system="http://snomed.info/sct", code="233604007")
    package = a_foreign_package(
        tmp_path / "mine", id="mine", output__findings=[entry], output__scores__name="out"
    )
    shelf = ModelShelf(data, BUNDLED)
    model_store.import_package(package, data, shelf)
    model_store.enable("mine", None, data, shelf)
    study = a_study(tmp_path / "study", film={})

    said = [json.loads(line) for line in route(study, "--data", data, "--json").output.splitlines()]

    assert [(one["model"], one["asked"], one["why_not"]) for one in said] == [
        ("mine", True, None),
        ("halves", True, None),
        (BUNDLED, False, "those before it look for the same"),
    ]


def test_show_says_that_a_card_has_rules(data: Path) -> None:
    shown = CliRunner().invoke(main, ["models", "show", "halves", "--data", str(data)])

    assert "the best one that the rules in its card take" in shown.output


def test_a_folder_with_several_studies_or_none_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert route(folder).exit_code == 2
    for number in (1, 2):
        film = a_film(StudyInstanceUID=f"1.2.{number}")
        (folder / f"{number}.dcm").write_bytes(as_file(film))

    said = route(folder)

    assert said.exit_code == 2 and "There are 2 studies" in said.output


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "there is no such file"),
        (b"", "it is an empty file"),
        (b"%PDF", "it is not a DICOM file"),
        (as_file(a_film())[:-9000], ""),  # a header is all that is needed
    ],
    ids=["none", "empty", "another kind", "cut off"],
)
def test_what_cannot_be_read_is_said_with_its_reason(
    tmp_path: Path, data: bytes | None, why: str
) -> None:
    file = tmp_path / "file.dcm"
    if data is not None:
        file.write_bytes(data)

    said = route(file)

    assert ("No study can be read" in said.output) is bool(why) and why in said.output
    assert said.exit_code == (2 if why else 0)


def test_a_study_instance_uid_without_its_ehr_is_told_what_it_lacks() -> None:
    said = route(Path("1.2.840.99999.404"))

    assert said.exit_code == 2 and "A Study Instance UID needs --ehr NAME." in said.output


def test_at_an_ehr_without_imaging_study_the_patient_is_to_be_named(data: Path) -> None:
    ledger = connect(f"sqlite:///{data / 'ledger.sqlite'}")
    upgrade(ledger)
    SqlTenants(ledger).add(a_tenant(name="Oracle", vendor=Vendor.ORACLE))

    said = route("1.2.840.99999.1", "--ehr", "Oracle", "--data", data)

    assert said.exit_code == 2
    assert "Oracle has no ImagingStudy: say with --patient ID" in said.output


def test_whose_files_are_is_said_by_files(tmp_path: Path, data: Path) -> None:
    study = a_study(tmp_path / "study", film={})

    said = route(study, "--patient", "p-1", "--data", data)

    assert said.exit_code == 2 and "--patient goes with --ehr" in said.output
