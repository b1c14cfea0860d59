"""Which ports the demo takes, and what it says when the one asked for is taken."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from cds_service.demo.addresses import LOOPBACK, SEARCHED, Addresses, choose
from cds_service.errors import SettingsInvalid
from tests.real.servers import free_port


@contextmanager
def listening(port: int) -> Iterator[int]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((LOOPBACK, port))
        server.listen()
        yield server.getsockname()[1]


def test_the_neighbours_take_the_ports_after_the_services() -> None:
    port = free_port(4)

    addresses = choose(port)

    assert addresses == Addresses(port, port + 1, port + 2)


def test_a_taken_neighbour_is_passed_over() -> None:
    port = free_port(4)

    with listening(port + 1):
        addresses = choose(port)

    assert (addresses.chart_port, addresses.redis_port) == (port + 2, port + 3)


def test_a_busy_port_gives_a_sentence_that_names_the_option() -> None:
    with listening(0) as port, pytest.raises(SettingsInvalid) as refused:
        choose(port)

    assert str(port) in str(refused.value)
    assert "--port" in str(refused.value)
    assert "make demo PORT=" in str(refused.value)


def test_a_port_whose_last_connection_is_still_closing_is_free() -> None:
    with listening(0) as port, socket.create_connection((LOOPBACK, port)):
        pass

    assert choose(port).service_port == port


def test_the_last_ports_leave_no_room_for_the_neighbours() -> None:
    with ExitStack() as busy:
        for port in range(65_534, 65_536):
            with suppress(OSError):  # somebody else's, which is as good
                busy.enter_context(listening(port))
        with pytest.raises(SettingsInvalid, match="--port"):
            choose(65_533)


def test_the_chart_and_the_service_are_different_sites_for_a_browser() -> None:
    addresses = Addresses(8000, 8001, 8002)

    assert addresses.service == "http://127.0.0.1:8000"
    assert addresses.chart == "http://localhost:8001"
    assert addresses.redis == "redis://127.0.0.1:8002/0"
    assert addresses.fhir.startswith(addresses.chart)
    assert addresses.archive.startswith(addresses.chart)
    assert addresses.app.startswith(addresses.service)
    assert addresses.jwks == "http://127.0.0.1:8000/app/.well-known/jwks.json"
    assert SEARCHED >= 2
