"""Every SIGHTLINE_ variable: what it sets, its default, and the sentence when it is wrong."""

from pathlib import Path

import pytest

from cds_service.errors import SettingsInvalid
from cds_service.settings import Settings

REQUIRED = {
    "SIGHTLINE_DATA": "/srv/sightline",
    "SIGHTLINE_PUBLIC_URL": "https://ai.example.org",
    "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:6379/0",
}


def settings(**changes: str) -> Settings:
    return Settings.from_env(REQUIRED | changes)


def test_three_variables_are_enough() -> None:
    data = Path("/srv/sightline")

    assert settings() == Settings(
        public_url="https://ai.example.org",
        data=data,
        database_url="sqlite:////srv/sightline/ledger.sqlite",
        redis_url="redis://127.0.0.1:6379/0",
        master_key_file=data / "master.key",
        signing_key_file=data / "signing-keys.json",
        inbox=data / "inbox",
        hook_deadline_ms=450,
        job_lease_s=20,
        log_level="INFO",
    )


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_variable_is_named(name: str, value: str | None) -> None:
    env = {key: text for key, text in REQUIRED.items() if key != name}
    if value is not None:
        env[name] = value

    with pytest.raises(SettingsInvalid, match=f"^{name} is not set: .+[.]$"):
        Settings.from_env(env)


def test_the_public_url_loses_its_trailing_slash() -> None:
    assert settings(SIGHTLINE_PUBLIC_URL="https://ai.example.org/").public_url == (
        "https://ai.example.org"
    )


@pytest.mark.parametrize("address", ["ftp://ai.example.org", "ai.example.org", "/cds"])
def test_a_public_url_that_is_no_web_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsInvalid, match="SIGHTLINE_PUBLIC_URL"):
        settings(SIGHTLINE_PUBLIC_URL=address)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        (
            "SIGHTLINE_DATABASE_URL",
            "postgresql+psycopg:///s",
            "database_url",
            "postgresql+psycopg:///s",
        ),
        ("SIGHTLINE_MASTER_KEY_FILE", "/run/secrets/m", "master_key_file", Path("/run/secrets/m")),
        (
            "SIGHTLINE_SIGNING_KEY_FILE",
            "/run/secrets/s",
            "signing_key_file",
            Path("/run/secrets/s"),
        ),
        ("SIGHTLINE_HOOK_DEADLINE_MS", "300", "hook_deadline_ms", 300),
        ("SIGHTLINE_JOB_LEASE_S", "60", "job_lease_s", 60),
        ("SIGHTLINE_LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
        ("SIGHTLINE_INBOX", "/srv/inbox", "inbox", Path("/srv/inbox")),
        ("SIGHTLINE_INBOX_QUIET_S", "30", "inbox_quiet_s", 30),
    ],
)
def test_an_optional_variable_sets_its_field(
    variable: str, text: str, field: str, value: object
) -> None:
    assert getattr(settings(**{variable: text}), field) == value


@pytest.mark.parametrize(
    ("variable", "low", "high"),
    [("SIGHTLINE_HOOK_DEADLINE_MS", 50, 10_000), ("SIGHTLINE_JOB_LEASE_S", 5, 600)],
)
def test_a_number_outside_its_range_is_refused_with_the_range(
    variable: str, low: int, high: int
) -> None:
    settings(**{variable: str(low)})
    settings(**{variable: str(high)})

    for wrong in (str(low - 1), str(high + 1), "-5", "1.5", "soon", ""):
        with pytest.raises(SettingsInvalid, match=f"{variable} is .* from {low} to {high}"):
            settings(**{variable: wrong})


def test_a_log_level_that_does_not_exist_is_refused() -> None:
    assert settings(SIGHTLINE_LOG_LEVEL="warning").log_level == "WARNING"

    with pytest.raises(SettingsInvalid, match="SIGHTLINE_LOG_LEVEL is not one of DEBUG, INFO"):
        settings(SIGHTLINE_LOG_LEVEL="loud")


def test_a_password_in_an_address_is_not_printed() -> None:
    made = settings(
        SIGHTLINE_REDIS_URL="rediss://web:s3cret@redis.internal/0",
        SIGHTLINE_DATABASE_URL="postgresql://web:s3cret@db.internal/sightline",
    )

    assert "s3cret" not in repr(made)


def test_other_variables_are_not_read() -> None:
    assert settings(PATH="/bin", SIGHTLINE_NONSENSE="1") == settings()
