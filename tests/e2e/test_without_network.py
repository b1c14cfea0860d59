"""The whole of Sightline where there is no network: a namespace that has its own loopback alone.

Source: unshare(1), network_namespaces(7).
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]

REPOSITORY = Path(__file__).resolve().parents[2]
ANALYSED = "test_opening_charts_again_and_again_leaves_one_observation_per_finding"
TIMEOUT_S = 900.0  # a demo that starts and analyses on a busy machine
OUTSIDE = """
import errno, socket
try:
    socket.create_connection(("192.0.2.1", 443), timeout=30)  # TEST-NET-1, RFC 5737
except OSError as error:
    print(errno.errorcode.get(error.errno or 0))
"""


def alone(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where no address but 127.0.0.1 has a route."""
    inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    return subprocess.run(
        ["unshare", "--net", "--map-root-user", *inside],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("util-linux and iproute2 make the namespace")
    if alone("true").returncode:
        pytest.skip("this machine does not allow a network namespace")


def test_nothing_outside_can_be_reached_from_there() -> None:
    assert alone(sys.executable, "-c", OUTSIDE).stdout.strip() == "ENETUNREACH"


def test_worker_service_and_record_need_no_network() -> None:
    """Run the demo and the test of what it leaves in the record: images to Observations."""
    test = f"tests/e2e/test_demo.py::{ANALYSED}"

    said = alone(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test)

    assert "1 passed" in said.stdout, said.stdout[-4000:]
