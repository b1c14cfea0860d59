"""One installation per module: fuzzing never needs a fresh one, and a full ledger is welcome."""

from collections.abc import Iterator

import pytest

from tests.fuzz.installed import Installed, installed


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed(tmp_path_factory.mktemp("sightline")) as house:
        yield house
