"""Every knob of the service, read once at start and frozen.

Keys come from files, and an address that may hold a password never prints. Nothing else reads the
environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cds_service.errors import SettingsInvalid

SIGNING_KEYS = "signing-keys.json"  # in the data folder
FASTEST = "fastest"  # execution provider
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one Sightline installation.

    `data` is a folder that only this installation's processes can read; it holds the SQLite
    ledger (unless `database_url` names another) and the keys.
    """

    public_url: str  # of the service, as the EHR calls it; no trailing slash
    data: Path
    database_url: str = field(repr=False)  # SQLAlchemy
    redis_url: str = field(repr=False)
    master_key_file: Path  # 32 random bytes; seals tokens and patients' facts (AES-256-GCM)
    signing_key_file: Path  # private keys of our client assertions (ES384, RS384)
    inbox: Path  # the folder of what archives push
    hook_deadline_ms: int = 450
    hook_rate_per_s: int = 200  # of one EHR, in each web process
    hook_body_limit_bytes: int = 1024 * 1024
    job_lease_s: int = 20
    job_attempts: int = 3
    model_id: str = "cxr_pneumonia_peds"
    log_level: str = "INFO"
    workers: int = 0  # processes; 0: as measured at the start
    worker_threads: int = 0  # of each process, for the model; 0: as measured
    execution_provider: str = FASTEST  # of ONNX Runtime, or the fastest that is installed
    inbox_mb: int = 20_480  # MiB, of one EHR
    inbox_instances: int = 20_000  # of one EHR
    inbox_quiet_s: int = 5  # after which a pushed study is taken as complete
    inbox_wait_min: int = 1_440  # after which one that no EHR knows is erased
    client_certificate_header: str = "none"  # of the proxy that checks pushing archives' own

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read SIGHTLINE_* variables; raise SettingsInvalid naming the variable."""
        data = Path(_required(env, "SIGHTLINE_DATA", "the folder of the ledger and the keys"))
        public_url = _required(
            env, "SIGHTLINE_PUBLIC_URL", "the service cannot check the audience of client tokens"
        ).rstrip("/")
        if urlsplit(public_url).scheme not in {"http", "https"}:
            raise SettingsInvalid("SIGHTLINE_PUBLIC_URL is not an http(s) address.")
        return cls(
            public_url=public_url,
            data=data,
            database_url=env.get("SIGHTLINE_DATABASE_URL", f"sqlite:///{data / 'ledger.sqlite'}"),
            redis_url=_required(env, "SIGHTLINE_REDIS_URL", "workers cannot be woken"),
            master_key_file=Path(env.get("SIGHTLINE_MASTER_KEY_FILE", data / "master.key")),
            signing_key_file=Path(env.get("SIGHTLINE_SIGNING_KEY_FILE", data / SIGNING_KEYS)),
            hook_deadline_ms=_number(env, "SIGHTLINE_HOOK_DEADLINE_MS", 450, 50, 10_000),
            hook_rate_per_s=_number(env, "SIGHTLINE_HOOK_RATE_PER_S", 200, 1, 100_000),
            job_lease_s=_number(env, "SIGHTLINE_JOB_LEASE_S", 20, 5, 600),
            log_level=_log_level(env),
            workers=_number(env, "SIGHTLINE_WORKERS", 0, 0, 256),
            worker_threads=_number(env, "SIGHTLINE_WORKER_THREADS", 0, 0, 256),
            execution_provider=env.get("SIGHTLINE_EXECUTION_PROVIDER", FASTEST),
            inbox=Path(env.get("SIGHTLINE_INBOX", data / "inbox")),
            inbox_mb=_number(env, "SIGHTLINE_INBOX_MB", 20_480, 1, 100_000_000),
            inbox_instances=_number(env, "SIGHTLINE_INBOX_INSTANCES", 20_000, 1, 10_000_000),
            inbox_quiet_s=_number(env, "SIGHTLINE_INBOX_QUIET_S", 5, 1, 3_600),
            inbox_wait_min=_number(env, "SIGHTLINE_INBOX_WAIT_MIN", 1_440, 1, 43_200),
            client_certificate_header=env.get("SIGHTLINE_CLIENT_CERTIFICATE_HEADER", "none"),
        )


def _required(env: Mapping[str, str], name: str, consequence: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise SettingsInvalid(f"{name} is not set: {consequence}.")
    return value


def _number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, str(default))
    if not text.isdigit() or not low <= int(text) <= high:
        raise SettingsInvalid(f"{name} is {text!r}: it must be a number from {low} to {high}.")
    return int(text)


def _log_level(env: Mapping[str, str]) -> str:
    level = env.get("SIGHTLINE_LOG_LEVEL", "INFO").upper()
    if level not in LOG_LEVELS:
        raise SettingsInvalid(f"SIGHTLINE_LOG_LEVEL is not one of {', '.join(LOG_LEVELS)}.")
    return level
