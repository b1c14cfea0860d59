"""pynetdicom's connection, guarded: no PDU longer or slower than allowed, and no tracebacks.

Source: DICOM PS3.8 9.1.5 (ARTIM), 9.3 (PDUs), D.1 (maximum length).
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.fsm import StateMachine
from pynetdicom.transport import AddressInformation, AssociationSocket

log = logging.getLogger(__name__)

PDU_BYTES = 128 * 1024  # of the variable field: also an association request fits
PDU_S = 30.0  # for one PDU to arrive whole, and for the TLS handshake before the first


def be_silent() -> None:
    """Let pynetdicom log nothing: it writes UIDs and AE titles, and quotes what was received."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


class GuardedStates(StateMachine):
    """The states of one association; an event that its state has not ends it without a traceback.

    It comes from a race: our side aborts in the moment in which the other one does.
    """

    def do_action(self, event: str) -> None:
        """Do what the state asks for."""
        try:
            super().do_action(event)
        except Exception as error:  # the outermost frame of pynetdicom's own thread
            log.warning("DIMSE: an association broke off: %s", type(error).__name__)
            self.dul.kill_dul()
            if isinstance(self.dul.socket, GuardedSocket):
                self.dul.socket.end()


class GuardedSocket(AssociationSocket):
    """A connection on which no PDU is longer, or takes longer, than allowed."""

    def __init__(
        self,
        association: Association,
        pdu_s: float,
        *,
        connection: socket.socket | None = None,
        address: AddressInformation | None = None,
        on_tls_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Guard this connection, or one that is made from a local address."""
        super().__init__(association, client_socket=connection, address=address)
        self._pdu_s, self._on_tls_failure = pdu_s, on_tls_failure

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes; OSError, which closes the connection, for more than a PDU has."""
        if self.socket is None or nr_bytes > PDU_BYTES:
            self.hang_up()
            raise OSError("a PDU longer than was negotiated")
        try:
            return self._read(self.socket, nr_bytes)
        except OSError as error:
            self.hang_up()
            if isinstance(error, ssl.SSLError):
                self._on_tls_failure()
            raise

    def hang_up(self) -> None:
        """Close for the other side at once: pynetdicom does when its timers run out."""
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close it: pynetdicom does not where the other side was first."""
        self.hang_up()
        if self.socket is not None:
            self.socket.close()

    def _shutdown_socket(self) -> None:
        self.end()

    def _read(self, connection: socket.socket, nr_bytes: int) -> bytearray:
        deadline = time.monotonic() + self._pdu_s
        read = bytearray()
        while len(read) < nr_bytes:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = connection.recv(nr_bytes - len(read))
            if not piece:
                break
            read += piece
        return read
