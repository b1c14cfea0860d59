"""A missing real part: a skip that says how to get it, a failure where real parts are demanded."""

import pytest

from tests.real.servers import require

HOW = "apt-get install orthanc orthanc-dicomweb"


def test_a_missing_part_skips_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGHTLINE_REQUIRE_REAL", raising=False)

    with pytest.raises(pytest.skip.Exception, match=f"Orthanc is not installed: {HOW}"):
        require("Orthanc", False, HOW)


def test_a_missing_part_fails_where_real_parts_are_demanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIGHTLINE_REQUIRE_REAL", "1")

    with pytest.raises(pytest.fail.Exception, match=f"Orthanc is not installed: {HOW}"):
        require("Orthanc", False, HOW)


def test_a_part_that_is_there_passes_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_REQUIRE_REAL", "1")

    require("Orthanc", True, HOW)
