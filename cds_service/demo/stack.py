"""The demo's stack: Redis, ledger, sandbox EHR, service and worker, in one terminal.

Source: architecture "Embedded default".
"""

import fcntl
import json
import os
import signal
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import redis
import requests

from cds_service.demo import redis_binary
from cds_service.demo.addresses import LOOPBACK, Addresses, choose
from cds_service.demo.children import Child, Children, Say
from cds_service.demo.preparation import prepare_studies
from cds_service.domain.tenant import Tenant
from cds_service.errors import SettingsInvalid
from cds_service.settings import Settings
from cds_service.wiring import prepare_installation, register_sandbox

START_TIMEOUT_S = 180.0  # a child that ended is noticed at once; one that is slow may be slow
TENANT_ID = "sandbox"
LOCK = "demo.lock"  # in the data folder, held while a demo runs


def run_demo(*, port: int, data: Path | None, state: Path | None, browser: bool, say: Say) -> None:
    """Start everything, say when it is ready, and keep it alive until Ctrl-C.

    `state` gets the addresses as JSON, written atomically once all is ready. Raises
    SettingsInvalid with a sentence when something cannot start; every child is stopped.
    """
    if state is not None and not state.parent.is_dir():
        raise SettingsInvalid(f"The folder of --state, {state.parent}, is not there.")
    stop = _stop_on_signals()
    with _data_folder(data) as folder:
        addresses = choose(port)
        children = Children(folder / "logs", say)
        try:
            _start(children, addresses, folder, say)
            _announce(addresses, folder, state)
            if browser and _has_screen():
                webbrowser.open(f"{addresses.chart}/")
            while not stop.wait(1.0):
                children.revive()
        finally:
            say("demo", "stopping")
            children.stop()
            if state is not None:
                state.unlink(missing_ok=True)


def _start(children: Children, addresses: Addresses, folder: Path, say: Say) -> None:
    settings = _settings(addresses, folder)
    prepare_installation(settings)
    say("ledger", "SQLite, up to date")
    register_sandbox(settings, _tenant(addresses))
    _start_redis(children, addresses, folder, say)
    env = _environment(settings)
    sandbox = _python(
        children,
        "sandbox",
        env,
        "cds_service.demo.sandbox_process",
        str(addresses.service_port),
        str(addresses.chart_port),
        str(folder / "sandbox"),
    )
    worker = _python(children, "worker", env, "cds_service.cli", "worker", "--processes", "1")
    service = _python(children, "service", env, *_gunicorn(addresses))
    children.wait(service, lambda: _answers(f"{addresses.service}/health/ready"), START_TIMEOUT_S)
    say("service", f"ready at {addresses.service}")
    children.wait(sandbox, lambda: _answers(f"{addresses.fhir}/metadata"), START_TIMEOUT_S)
    say("sandbox", f"ready at {addresses.chart} (an EHR: chart, FHIR, SMART, DICOMweb)")
    children.wait(worker, lambda: "worker ready" in worker.log.read_text(), START_TIMEOUT_S)
    say("worker", "ready, one process")
    prepare_studies(settings, addresses.chart, TENANT_ID, say)


def _start_redis(children: Children, addresses: Addresses, folder: Path, say: Say) -> None:
    binary, origin = redis_binary.find()
    home = folder / "redis"
    home.mkdir(mode=0o700, exist_ok=True)
    command = [binary, "--bind", LOOPBACK, "--port", str(addresses.redis_port)]
    command += ["--dir", str(home), "--appendonly", "yes", "--save", ""]
    command += ["--maxmemory-policy", "noeviction"]
    child = children.start("redis", command, {})
    children.wait(child, lambda: _pings(addresses.redis), START_TIMEOUT_S)
    say("redis", f"ready ({origin})")


def _python(children: Children, name: str, env: dict[str, str], *arguments: str) -> Child:
    return children.start(name, [sys.executable, "-m", *arguments], env)


def _gunicorn(addresses: Addresses) -> tuple[str, ...]:
    options = ["--bind", f"{LOOPBACK}:{addresses.service_port}", "--workers", "2"]
    options += ["--worker-class", "gthread", "--threads", "16", "--timeout", "30"]
    options += ["--no-control-socket"]  # it would lie in the home folder, for every instance
    return ("gunicorn", *options, "cds_service.app:create_app()")


def _settings(addresses: Addresses, folder: Path) -> Settings:
    return Settings.from_env(
        {
            "SIGHTLINE_PUBLIC_URL": addresses.service,
            "SIGHTLINE_DATA": str(folder),
            "SIGHTLINE_REDIS_URL": addresses.redis,
        }
    )


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "SIGHTLINE_PUBLIC_URL": settings.public_url,
        "SIGHTLINE_DATA": str(settings.data),
        "SIGHTLINE_REDIS_URL": settings.redis_url,
        "PYTHONUNBUFFERED": "1",
    }


def _tenant(addresses: Addresses) -> Tenant:
    return Tenant(
        id=TENANT_ID,
        name="Sandbox EHR",
        fhir_base=addresses.fhir,
        hook_issuer=addresses.fhir,
        jwks_url=f"{addresses.chart}/auth/jwks.json",
        jkus=(f"{addresses.chart}/auth/jwks.json",),
        client_id="sightline",
        archive_base=addresses.archive,
        origins=(addresses.chart,),
        shows_negative=True,
    )


def _announce(addresses: Addresses, folder: Path, state: Path | None) -> None:
    facts = {
        "ready": f"{addresses.chart}/",
        "chart": f"{addresses.chart}/",
        "service": addresses.service,
        "fhir": addresses.fhir,
        "archive": addresses.archive,
        "app": addresses.app,
        "jwks": addresses.jwks,
        "data": str(folder),
    }
    for name, value in facts.items():
        print(f"{name}: {value}", flush=True)  # noqa: T201  the demo talks to a person here
    if state is not None:
        draft = state.with_name(f".{state.name}.{os.getpid()}")
        draft.write_text(json.dumps(facts, indent=2) + "\n")
        draft.replace(state)


@contextmanager
def _data_folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (data / LOCK).open("w")
        except OSError as error:
            raise SettingsInvalid(
                f"The data folder {data} cannot be used ({error.strerror})."
            ) from None
        with lock:
            _take(lock, data)
            yield data.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        yield Path(folder)


def _take(lock: IO[str], data: Path) -> None:
    """Keep a second demo out: it would register its own ports, and the first one's cards end."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system frees it, however we end
    except BlockingIOError:
        raise SettingsInvalid(
            f"Another demo is using {data}: stop it, or name another folder with --data."
        ) from None


def _stop_on_signals() -> threading.Event:
    """Turn Ctrl-C, SIGTERM and a closed terminal into a clean stop, also while starting."""
    stop = threading.Event()

    def interrupt(number: int, _: object) -> None:
        if stop.is_set():
            return
        stop.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    return stop


def _has_screen() -> bool:
    """Tell whether a browser window can open; a text browser would take over this terminal."""
    return sys.platform != "linux" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def _answers(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=10).ok
    return False


def _pings(url: str) -> bool:
    with suppress(redis.RedisError):
        return bool(redis.Redis.from_url(url).ping())
    return False
