"""The wheel: everything the product needs at run time, nothing else, and it runs by itself."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("cds_service", "smart_app", "models", "fhir_profiles")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory,
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """Build the wheel from this tree; return it and how pip ended."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(REPOSITORY), "--no-deps", "--quiet"]
    result = subprocess.run(
        [*command, "--disable-pip-version-check", "--wheel-dir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    [wheel] = folder.glob("*.whl")
    return wheel, result


@pytest.fixture(scope="module")
def wheel(built: "tuple[Path, subprocess.CompletedProcess[str]]") -> Path:
    return built[0]


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def in_the_tree(pattern: str) -> set[str]:
    found = {path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob(pattern)}
    assert found, f"nothing in this tree matches {pattern}"
    return found


def test_building_the_wheel_prints_nothing(
    built: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    _, result = built

    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize(
    "pattern",
    [
        *(f"{package}/__init__.py" for package in PACKAGES),
        "cds_service/*.py",
        "cds_service/adapters/migrations/env.py",
        "cds_service/adapters/migrations/versions/*.py",
        "cds_service/sandbox/pictures/*.png",
        "cds_service/sandbox/static/*.*",
        "cds_service/sandbox/templates/**/*.html",
        "smart_app/static/*.*",
        "smart_app/static/viewer/*.*",
        "smart_app/templates/**/*.html",
        "models/*/card.yaml",
        "models/*/model.onnx",
        "fhir_profiles/*.json",
    ],
)
def test_the_wheel_holds_what_the_product_reads(names: set[str], pattern: str) -> None:
    assert in_the_tree(pattern) <= names


def test_the_wheel_holds_the_product_and_nothing_else(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in names if "train" in Path(name).parts]
    assert not [name for name in names if name.endswith((".pyc", ".sqlite", ".pem", ".key"))]


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path, names: set[str]) -> None:
    [entry_points] = [name for name in names if name.endswith(".dist-info/entry_points.txt")]

    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    with ZipFile(wheel) as archive:
        assert "sightline = cds_service.cli:main" in archive.read(entry_points).decode()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["demo", "--help"]])
def test_the_wheels_command_talks_without_a_warning(
    wheel: Path, tmp_path: Path, arguments: list[str]
) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cds_service.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout
