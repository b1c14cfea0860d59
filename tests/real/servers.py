"""Real neighbours for tests, started on free loopback ports and stopped when the test ends.

Source: Debian's packages of Redis and Orthanc; HAPI FHIR built from `tests/real/hapi`
and `tests/real/hapi_jpa`.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path

import pytest
import redis
import requests

ORTHANC = Path("/usr/sbin/Orthanc")
ORTHANC_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HAPI_JAR = Path(__file__).parent / "hapi" / "target" / "hapi.jar"
HAPI_JPA_JAR = Path(__file__).parent / "hapi_jpa" / "target" / "hapi-jpa.jar"

# None of these is a promise about speed: they end a test that would wait for ever, on a machine
# many times slower than any that the tests were written on.
STARTUP_S = 300
STOP_S = 60


def require(part: str, ok: bool, how_to_get_it: str) -> None:
    """Skip the test when a real part is missing; fail instead if SIGHTLINE_REQUIRE_REAL is 1."""
    if ok:
        return
    sentence = f"{part} is not installed: {how_to_get_it}"
    if os.environ.get("SIGHTLINE_REQUIRE_REAL") == "1":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def free_port(count: int = 1) -> int:
    """Return the first of `count` loopback TCP ports in a row that nothing listens on.

    On Linux they stay bound, without listening, until this process ends: a server that sets
    SO_REUSEADDR, as ours all do, can listen there, but the kernel gives them to nobody who asks
    for any port, be it another test's server or an outgoing connection.
    """
    while True:
        with ExitStack() as stack:
            probes = [stack.enter_context(_bound(0))]
            first = int(probes[0].getsockname()[1])
            try:
                for port in range(first + 1, first + count):
                    probes.append(stack.enter_context(_bound(port)))
            except (OSError, OverflowError):  # the next one is taken, or past the last
                continue
            if sys.platform == "linux":
                for probe in probes:
                    probe.detach()  # never closed
            return first


def _bound(port: int) -> socket.socket:
    probe = socket.socket()
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    except BaseException:
        probe.close()
        raise
    return probe


def ends_with_us() -> list[str]:
    """Return what a command begins with, so that it ends when we are killed; Linux only."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


@dataclass
class Child:
    """A process of ours, its output in a file; `stop` ends it by its own pid.

    Start it in a thread that lives on: where setpriv is, it also ends when that thread does,
    so that a run that was killed leaves no servers behind.
    """

    command: list[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)  # added to our own
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*ends_with_us(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
            )

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Return once ready; if it exits or stays silent, end it and raise with the log's end."""
        try:
            self._poll(is_ready)
        except BaseException:
            self.kill()
            raise

    def _poll(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STARTUP_S
        while not is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"{self.command[0]} did not start:\n{end}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Terminate, then kill after `STOP_S` seconds; harmless when it has ended already."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill at once, as a power cut would."""
        self.process.kill()
        self.process.wait()


@dataclass
class RedisServer:
    """A Redis with an append-only file in `folder`, synced at each write."""

    folder: Path
    port: int = field(default_factory=free_port)
    child: Child = field(init=False)

    @property
    def url(self) -> str:
        """Return the address for `redis.Redis.from_url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, or start again on the same port and data, and wait until it answers."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.child = Child(["redis-server", *arguments], self.folder / "redis.log")
        self.child.wait_until(self._answers)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Run Redis; `server.child.kill()` and `server.start()` play a crash and a restart."""
    found = shutil.which("redis-server") is not None
    require("Redis", found, "apt-get install redis-server")
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.child.stop()


@dataclass(frozen=True)
class Orthanc:
    """An Orthanc archive with its DICOMweb plugin; `base_url` is its REST API."""

    base_url: str
    user: tuple[str, str] | None = None  # with password, where it asks for one

    @property
    def dicom_web(self) -> str:
        """Return the DICOMweb root, as a FHIR Endpoint.address names it."""
        return f"{self.base_url}/dicom-web"

    def upload(self, *instances: bytes) -> None:
        """Store DICOM part 10 files through Orthanc's own REST API; raise on a refusal."""
        for instance in instances:
            requests.post(
                f"{self.base_url}/instances", data=instance, auth=self.user, timeout=120
            ).raise_for_status()


@contextmanager
def orthanc(
    folder: Path, user: tuple[str, str] | None = None, **settings: object
) -> Iterator[Orthanc]:
    """Run an empty Orthanc; `settings` are Orthanc's own, such as StableAge.

    user   the only one, with the password; None: it asks for none
    """
    require("Orthanc", ORTHANC.exists(), "apt-get install orthanc orthanc-dicomweb")
    require(
        "Orthanc's DICOMweb plugin",
        ORTHANC_DICOMWEB.exists(),
        "apt-get install orthanc-dicomweb",
    )
    port = free_port()
    configuration = {
        "HttpPort": port,
        # Debian's 1.10 has no bind address: it listens everywhere and turns other hosts away.
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": user is not None,
        "RegisteredUsers": dict([user] if user else []),
        "DicomServerEnabled": False,
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "Plugins": [str(ORTHANC_DICOMWEB)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **settings,
    }
    config_file = folder / "orthanc.json"
    config_file.write_text(dumps(configuration))
    child = Child([str(ORTHANC), str(config_file)], folder / "orthanc.log")
    server = Orthanc(f"http://127.0.0.1:{port}", user)
    try:
        child.wait_until(lambda: _answers(f"{server.base_url}/system", user))
        yield server
    finally:
        child.stop()


@contextmanager
def hapi(
    folder: Path,
    *,
    introspection: str,
    issuer: str,
    authorize: str,
    token: str,
    jwks: str,
    port: int = 0,
    jar: Path = HAPI_JAR,
) -> Iterator[str]:
    """Run an empty HAPI FHIR R4 server and yield its base URL.

    It demands bearer tokens that are active at `introspection` (RFC 7662), and their SMART
    scopes; the other addresses are what its .well-known/smart-configuration advertises.
    Give `port` where the authorization server must know the base before this one starts.
    HAPI_JPA_JAR is HAPI's own store, with every search, and delivers Subscriptions; it takes
    three times as long to start.
    """
    require("Java", shutil.which("java") is not None, "apt-get install openjdk-17-jre-headless")
    project = f"tests/real/{jar.parent.parent.name}"
    require("HAPI FHIR", jar.exists(), f"mvn -q -B package -f {project}/pom.xml")
    # One compiler tier and the serial collector: half the boot time and a third of the memory.
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    options = {
        "port": str(port),
        "introspection": introspection,
        "issuer": issuer,
        "authorize": authorize,
        "token": token,
        "jwks": jwks,
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    child = Child([*java, "-jar", str(jar), *arguments], folder / "hapi.log")
    try:
        child.wait_until(lambda: _ready_line(child.log) is not None)
        yield str(_ready_line(child.log))
    finally:
        child.stop()


def _answers(url: str, user: tuple[str, str] | None = None) -> bool:
    try:
        return requests.get(url, auth=user, timeout=30).ok
    except requests.RequestException:
        return False


def _ready_line(log: Path) -> str | None:
    """Return the address after `ready`, once the whole line is written."""
    for line in log.read_text(errors="replace").splitlines(keepends=True):
        if line.startswith("ready ") and line.endswith("\n"):
            return line.split()[1]
    return None
