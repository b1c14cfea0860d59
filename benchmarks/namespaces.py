"""Network namespaces of our own, each a machine with one cable to this one. Needs root.

Source: ip-netns(8), veth(4).
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.figures import MeasurementFailed


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace, and this machine's address at the other end of its cable."""

    name: str
    host: str

    def command(self, *command: str) -> list[str]:
        """Return the command to run something in it."""
        return ["ip", "netns", "exec", self.name, *command]


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """Make so many, and remove them at the end; raise MeasurementFailed where that is not ours."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise MeasurementFailed("network namespaces need root and iproute2")
    made: list[Namespace] = []
    try:
        for number in range(1, count + 1):
            made.append(_made(f"slbench{os.getpid()}-{number}", number))
        yield made
    finally:
        for one in made:
            _ip("netns", "del", one.name)  # and its cable with it


def _made(name: str, number: int) -> Namespace:
    """Make one: 10.77.N.1 here, 10.77.N.2 there, and every other address by way of here."""
    here, there, device = f"10.77.{number}.1", f"10.77.{number}.2", f"slb{number}"
    _ip("netns", "add", name)
    _ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("address", "add", f"{here}/30", "dev", device)
    _ip("link", "set", device, "up")
    for what in (
        ("address", "add", f"{there}/30", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
        ("route", "add", "default", "via", here),
    ):
        _ip("-n", name, *what)
    return Namespace(name, here)


def _ip(*arguments: str) -> None:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise MeasurementFailed(f"ip {' '.join(arguments)}: {result.stderr.strip()}")
