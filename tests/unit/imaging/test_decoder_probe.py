"""The start-up probe: the fastest decoder whose pixels are right, measured once and kept."""

import json
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from cds_service.adapters import decoder_probe
from cds_service.adapters.decoder_probe import FILE, choose_decoders, decoders_of, decoders_once
from cds_service.adapters.decoders import CANDIDATES, decoded_frame, usable
from cds_service.cli import main

RETIRED = UID("1.2.840.10008.1.2.4.53")


def test_every_syntax_has_a_choice_among_those_that_are_permitted_and_installed() -> None:
    choices = choose_decoders()

    assert [one.syntax for one in choices] == list(CANDIDATES)
    for one in choices:
        assert one.chosen in usable(one.syntax) if usable(one.syntax) else one.chosen is None
    assert decoders_of(choices).name_for(RLELossless, 12, 1) == "pylibjpeg"


def test_a_decoder_that_gives_other_pixels_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(name: str, *rest: object) -> object:
        values = decoded_frame(name, *rest)  # type: ignore[arg-type]
        return values + 1 if name == "pydicom" else values

    ticks = count()  # every decoder takes the same time
    monkeypatch.setattr(decoder_probe, "decoded_frame", lying)

    chosen = {one.syntax: one for one in choose_decoders(lambda: float(next(ticks)))}

    assert [name for name, _ in chosen[RLELossless].times_ms] == ["pylibjpeg"]


def test_equal_times_keep_the_first_decoder() -> None:
    ticks = count()

    chosen = {one.syntax: one.chosen for one in choose_decoders(lambda: float(next(ticks)))}

    assert chosen[JPEG2000Lossless] == "gdcm" and chosen[JPEGLSLossless] == "pyjpegls"


def test_what_was_measured_is_kept_until_a_decoder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = decoders_once(tmp_path)
    monkeypatch.setattr(decoder_probe, "choose_decoders", lambda: pytest.fail("measured again"))

    assert decoders_once(tmp_path) == first

    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(kept | {"key": {"pydicom": "0"}}))
    with pytest.raises(pytest.fail.Exception):
        decoders_once(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1, "chosen": {"1.2": "evil"}}'])
def test_a_file_that_is_broken_or_names_what_is_not_permitted_is_measured_anew(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / FILE).write_text(text)

    assert decoders_once(tmp_path).chosen[RLELossless] in usable(RLELossless)


def test_the_command_says_what_is_used_and_what_would_do() -> None:
    result = CliRunner().invoke(main, ["codecs"])

    assert result.exit_code == 0
    for syntax in CANDIDATES:
        assert syntax in result.output


def test_without_the_extra_the_command_names_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds_service.adapters.decoders.find_spec", lambda _name: None)

    result = CliRunner().invoke(main, ["codecs"])

    assert f"{RETIRED}  none         not decoded here; imagecodecs would" in result.output
