"""The build hook of the image viewer: when it needs Node, and what it says when npm fails."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import hatch_build
from hatch_build import BUNDLE, NODE, RECORD, SOURCES, ViewerHook, build, digest, is_current

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a few sources, without a bundle."""
    sources = tmp_path / "project" / SOURCES
    (sources / "src").mkdir(parents=True)
    (sources / "package-lock.json").write_text("{}")
    (sources / "src" / "main.ts").write_text("start();")
    return tmp_path / "project"


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only npm of this machine: a script that a test writes."""
    monkeypatch.setattr(hatch_build, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "npm"
    script.touch(mode=0o755)
    return script


def keep_bundle(root: Path, record: str) -> None:
    (root / BUNDLE).mkdir(parents=True)
    (root / BUNDLE / RECORD).write_text(record)
    (root / BUNDLE / "viewer.js").write_text("old")


def hook(root: Path) -> ViewerHook:
    return ViewerHook(str(root), {}, None, None, str(root / "dist"), "wheel")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["src/main.ts", "package-lock.json", "src/new.ts"])
def test_a_change_of_sources_or_lock_asks_for_a_new_build(root: Path, name: str) -> None:
    keep_bundle(root, digest(root))
    assert is_current(root)

    (root / SOURCES / name).write_text("changed")

    assert not is_current(root)
    assert hook(root).dependencies() == [NODE]


def test_a_bundle_of_these_sources_needs_no_node(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_bundle(root, digest(root))
    (root / SOURCES / "node_modules").mkdir()
    (root / SOURCES / "node_modules" / "left-over.js").touch()
    monkeypatch.setattr(subprocess, "run", lambda *call, **options: pytest.fail("ran"))

    hook(root).initialize("standard", {})

    assert hook(root).dependencies() == []


def test_a_build_replaces_the_bundle_and_records_what_it_was_made_of(root: Path, npm: Path) -> None:
    keep_bundle(root, "older")
    npm.write_text(
        "#!/bin/sh\n"
        '[ "$1" = run ] && mkdir -p ../static/viewer && echo new > ../static/viewer/viewer.js\n'
        "exit 0\n"
    )

    build(root)

    assert (root / BUNDLE / "viewer.js").read_text() == "new\n" and is_current(root)
    assert not (root / SOURCES / "node_modules").exists()


def test_a_failing_npm_says_what_to_do_and_leaves_the_bundle(root: Path, npm: Path) -> None:
    keep_bundle(root, "older")
    npm.write_text("#!/bin/sh\necho 'npm error network ENOTFOUND'\nexit 7\n")

    with pytest.raises(SystemExit) as ended:
        build(root)

    said = str(ended.value)
    assert "npm ci ended with code 7" in said and "ENOTFOUND" in said
    assert "npm_config_registry" in said and "wheel" in said
    assert (root / BUNDLE / "viewer.js").read_text() == "old"


def test_without_npm_the_error_says_so(
    root: Path, npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm.unlink()
    monkeypatch.setenv("PATH", str(npm.parent))

    with pytest.raises(SystemExit, match="there is no Node"):
        build(root)


def test_the_lock_names_digests_and_no_host() -> None:
    lock = json.loads((REPOSITORY / SOURCES / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]

    assert len(packages) > 50
    assert not [package for package in packages if "resolved" in package]
    assert not [package for package in packages if "integrity" not in package]


@pytest.mark.slow
def test_the_source_distribution_carries_the_bundle_of_its_sources(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    [archive] = tmp_path.glob("*.tar.gz")

    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")

    [unpacked] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert (unpacked / BUNDLE / "viewer.js").is_file() and is_current(unpacked)
    assert not list((unpacked / SOURCES).rglob("node_modules"))


def test_the_bundle_names_whose_code_it_holds_and_nothing_is_copyleft() -> None:
    text = (REPOSITORY / BUNDLE / "THIRD-PARTY.txt").read_text()

    for name in ("@cornerstonejs/core", "@cornerstonejs/tools", "@kitware/vtk.js"):
        assert f"{name} " in text
    licences = {line for line in text.splitlines() if line.startswith("Licence: ")}
    assert licences and not [line for line in licences if "GPL" in line or "none" in line]


def test_the_bundle_holds_no_webassembly() -> None:
    scripts = [path.read_text() for path in (REPOSITORY / BUNDLE).glob("*.js")]

    assert scripts and not [text for text in scripts if "WebAssembly.instantiate" in text]
