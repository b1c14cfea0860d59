"""The processes of an installation use the models that it enabled, and none that changed."""

import logging
from pathlib import Path

import pytest

from cds_service import wiring
from cds_service.adapters import model_store
from cds_service.adapters.model_shelf import enabled_routes
from cds_service.errors import ModelMissing, WeightsDigestMismatch
from cds_service.settings import Settings
from tests.unit.models.networks import a_foreign_package

DEFAULT = "cxr_pneumonia_peds"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with a second model for every EHR."""
    made = Settings.from_env(
        {
            "SIGHTLINE_DATA": str(tmp_path / "data"),
            "SIGHTLINE_PUBLIC_URL": "http://127.0.0.1:1",
            "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:1/0",
        }
    )
    wiring.prepare_installation(made)
    shelf = wiring.open_house(made).shelf
    model_store.import_package(a_foreign_package(tmp_path / "package"), made.data, shelf)
    model_store.enable("halves", None, made.data, shelf)
    return made


def test_a_worker_does_a_job_with_the_model_that_it_names(settings: Settings) -> None:
    bench = wiring.workbench(settings)

    assert bench.classifiers("halves").identity.title == "Bright halves"
    assert bench.classifiers(DEFAULT).identity.id == DEFAULT
    assert bench.classifiers("halves") is bench.classifiers("halves")
    with pytest.raises(ModelMissing):
        bench.classifiers("absent")


def test_a_newer_version_is_loaded_at_its_first_job(settings: Settings, tmp_path: Path) -> None:
    bench = wiring.workbench(settings)
    newer = a_foreign_package(tmp_path / "newer", version="1.0.1")

    model_store.import_package(newer, settings.data, wiring.open_house(settings).shelf)

    assert bench.classifiers("halves").identity.version == "1.0.1"


def test_a_changed_byte_stops_a_starting_worker_with_a_sentence(settings: Settings) -> None:
    path = settings.data / "models" / "halves" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(WeightsDigestMismatch, match="The model halves is not used: its weights"):
        wiring.workbench(settings)


def test_a_card_that_cannot_be_read_leaves_the_other_models(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = wiring.open_house(settings).shelf
    assert [route.model.id for route in enabled_routes(shelf, "t-1")] == ["halves", DEFAULT]

    (settings.data / "models" / "halves" / "card.yaml").write_text("id: halves")

    with caplog.at_level(logging.ERROR):
        routes = enabled_routes(wiring.open_house(settings).shelf, "t-1")
    assert [route.model.id for route in routes] == [DEFAULT]
    assert "model left out: The model halves" in caplog.text
