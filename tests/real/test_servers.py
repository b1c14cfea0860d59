"""What the tests' own servers lean on: ports that stay theirs, and an end with the run."""

import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.running_demo import is_alive, until
from tests.real.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
A_RUN = """
import sys, time
from pathlib import Path
from tests.real.servers import Child

child = Child(["sleep", "600"], Path(sys.argv[1]) / "log")
print(child.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps a bound port for a listener")
def test_free_ports_in_a_row_are_for_the_server_that_they_were_asked_for() -> None:
    first = free_port(3)

    for port in range(first, first + 3):
        with socket.socket() as anybody, pytest.raises(OSError, match="in use"):
            anybody.bind(("127.0.0.1", port))
        with closing(socket.create_server(("127.0.0.1", port))) as server:
            assert server.getsockname()[1] == port


def test_nobody_answers_at_a_free_port() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port()))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not here")
def test_a_server_ends_with_a_run_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", A_RUN, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        server = int(run.stdout.readline())
        # Until setpriv has become the server, nobody has asked for the parent's death to be told.
        until(lambda: Path(f"/proc/{server}/comm").read_text() == "sleep\n")

        run.kill()

    until(lambda: not is_alive(server))
