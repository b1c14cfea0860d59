"""Whatever a parser throws becomes one refusal, and reading in threads leaves nothing behind."""

import threading
import warnings

import pytest

from cds_service.adapters.header import hostile_input
from cds_service.errors import UnreadableInstance

WAIT_S = 60.0


def test_a_panic_becomes_a_refusal_and_an_interrupt_does_not() -> None:
    class Panic(BaseException):
        pass

    with (
        pytest.raises(UnreadableInstance) as refused,
        hostile_input("damaged-pixels", "its image data are damaged"),
    ):
        raise Panic("DOE^JANE")
    assert refused.value.__cause__ is None and "DOE" not in str(refused.value)

    with pytest.raises(KeyboardInterrupt), hostile_input("damaged-pixels", "x"):
        raise KeyboardInterrupt


def test_an_image_for_which_the_memory_is_too_small_is_not_called_damaged() -> None:
    with (
        pytest.raises(UnreadableInstance) as refused,
        hostile_input("damaged-pixels", "its image data are damaged"),
    ):
        bytearray(1 << 62)
    assert refused.value.code == "too-many-pixels"


def test_readers_that_overlap_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    second_is_in, first_is_out = threading.Event(), threading.Event()
    quiet: list[bool] = []

    def second() -> None:
        with hostile_input("x", "x"):
            second_is_in.set()
            first_is_out.wait(WAIT_S)
            warnings.warn("the header says DOE^JANE", stacklevel=1)  # an error outside
            quiet.append(True)

    thread = threading.Thread(target=second)
    with hostile_input("x", "x"):
        thread.start()
        assert second_is_in.wait(WAIT_S)
    first_is_out.set()
    thread.join(WAIT_S)

    assert quiet == [True] and list(warnings.filters) == before
