"""The service under gunicorn says in one line why it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({}, "SIGHTLINE_DATA is not set"),
        (
            {
                "SIGHTLINE_DATA": "/nowhere",  # so there is no ledger
                "SIGHTLINE_PUBLIC_URL": "http://127.0.0.1:8000",
                "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:1/0",
            },
            "The ledger",
        ),
    ],
)
def test_a_service_that_cannot_start_says_why_and_stays_down(
    env: dict[str, str], sentence: str
) -> None:
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket"]

    ended = subprocess.run(
        [*command, "cds_service.app:create_app()"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)} | env,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert ended.returncode != 0
    assert ended.stderr.count(f"the service cannot start: {sentence}") == 1
    assert "Traceback" not in ended.stderr
