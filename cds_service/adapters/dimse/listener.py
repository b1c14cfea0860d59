"""Listen for associations: who may call, how many, how long, and how large a PDU may be.

Source: DICOM PS3.8 9.1.5 (ARTIM), 9.3 (PDUs), D.1 (maximum length), PS3.15 B.
"""

import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, cast

from pydicom.uid import UID
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationServer, RequestHandler

from cds_service.adapters.dimse.connection import (
    PDU_BYTES,
    PDU_S,
    GuardedSocket,
    GuardedStates,
    be_silent,
)
from cds_service.adapters.dimse.messages import Begin, Incoming, StoreMessages, announced
from cds_service.adapters.inbox_header import is_taken
from cds_service.domain.caller import neighbourhood
from cds_service.domain.inbox import Failure
from cds_service.domain.refusal import Refusal
from cds_service.errors import InboxFull, InstanceRefused, SightlineError

log = logging.getLogger(__name__)

IDLE_S = 30.0  # between two PDUs
ASSOCIATIONS = 8
STOP_S = 2.0  # for the threads of an association to end
_OVER_THE_LIMIT = 2  # connections more than that, so that a caller is told why (PS3.8 9.3.4)
_UNKNOWN_CALLER = (0x01, 0x01, 0x03)  # rejected permanently, by the user: calling AE title
_SUCCESS = 0x0000

OnRefused = Callable[[Refusal, str], None]  # why, from where


@dataclass(frozen=True, slots=True)
class Caller:
    """One archive that may call: its AE title, and the address or network it calls from."""

    ae_title: str
    network: str

    def is_at(self, address: str) -> bool:
        """Tell whether this address is one of the caller's."""
        return ip_address(address) in ip_network(self.network)


@dataclass(frozen=True, slots=True)
class Reception:
    """What becomes of a call: the inbox, seen from here."""

    is_open: Callable[[], bool]
    begin: Begin
    take: Callable[[Any, tuple[str, str]], None]  # raises InstanceRefused, InboxFull


class DimseListener:
    """One AE title on one interface, for one tenant."""

    def __init__(
        self,
        address: tuple[str, int],
        ae_title: str,
        callers: tuple[Caller, ...],
        reception: Reception,
        *,
        tls: ssl.SSLContext | None = None,
        associations: int = ASSOCIATIONS,
        idle_s: float = IDLE_S,
        pdu_s: float = PDU_S,
        on_refused: OnRefused = lambda _why, _where: None,
    ) -> None:
        """Bind, and listen from now on; OSError when the address cannot be had.

        on_refused   is told of every call that is turned away, so that it can be audited
        """
        be_silent()
        self._ae = AE(ae_title)
        self._ae.require_called_aet = True
        self._ae.maximum_associations = associations
        self._ae.maximum_pdu_size = PDU_BYTES
        self._ae.acse_timeout = self._ae.network_timeout = self._ae.dimse_timeout = idle_s
        self._ae.supported_contexts = _contexts()
        self._server = _Server(
            self._ae,
            address,
            _Gate(callers, reception, tls, associations + _OVER_THE_LIMIT, pdu_s, on_refused),
            [
                (evt.EVT_REQUESTED, _reject_unless, [callers, on_refused]),
                (evt.EVT_REJECTED, _tell_rejected, [on_refused]),
                (evt.EVT_C_STORE, _store, [reception, on_refused]),
                (evt.EVT_CONN_CLOSE, _close),
            ],
        )
        self._ae._servers.append(cast(Any, self._server))  # which `shutdown` stops

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._server.server_address[1])

    def run(self) -> None:
        """Answer calls until `stop`."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Hang up and listen no more. For another thread than the one in `run`.

        pynetdicom's own way aborts in states in which it cannot, and its threads end in tracebacks.
        """
        ended = self._server.active_associations
        for association in ended:
            association.dul.kill_dul()
            if isinstance(association.dul.socket, GuardedSocket):
                association.dul.socket.hang_up()
            _erase_arrivals(association)
        self._server.shutdown()
        for association in ended:
            association.dul.join(STOP_S)  # else it may read from what is closed
            if isinstance(association.dul.socket, GuardedSocket):
                association.dul.socket.end()


@dataclass(frozen=True, slots=True)
class _Gate:
    """Who may connect, and within which bounds."""

    callers: tuple[Caller, ...]
    reception: Reception
    tls: ssl.SSLContext | None
    connections: int
    pdu_s: float
    on_refused: OnRefused

    def refusal(self, address: str, connections: int) -> Refusal | None:
        """Return why a connection from this address is turned away, beside so many others."""
        if not any(caller.is_at(address) for caller in self.callers):
            return Refusal.UNKNOWN_ADDRESS
        if connections >= self.connections:
            return Refusal.TOO_OFTEN
        return None if self.reception.is_open() else Refusal.CLOSED


class _Server(AssociationServer):
    """The listening socket; turns away before a byte is read."""

    def __init__(
        self, ae: AE, address: tuple[str, int], gate: _Gate, handlers: list[evt.EventHandlerType]
    ) -> None:
        self.gate = gate
        super().__init__(
            ae,
            address,
            ae.ae_title,
            ae.supported_contexts,
            evt_handlers=handlers,
            request_handler=_Handler,
        )

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401
        """Tell whether this connection is let in: a known address, an open door, and room."""
        address = str(client_address[0])
        why = self.gate.refusal(address, len(self.active_associations))
        if why is not None:
            log.warning("DIMSE: a connection is turned away: %s", why)
            self.gate.on_refused(why, neighbourhood(address))
        return why is None

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the handshake of TLS waits for the association's own thread.

        Done here, one caller that stays silent would keep all others waiting.
        """
        connection, address = super().get_request()
        if self.gate.tls is not None:
            connection = self.gate.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Name the kind of error only; socketserver would print a traceback."""
        log.exception("DIMSE: a connection failed", exc_info=False)


class _Handler(RequestHandler):
    """One connection, on a guarded socket and with guarded messages."""

    server: _Server

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.event_queue.get_nowait()  # Evt5 of the socket that is replaced
        association.dul.socket = None
        association.dul.state_machine = GuardedStates(association.dul)
        gate = self.server.gate
        where = neighbourhood(str(self.client_address[0]))
        connection = GuardedSocket(
            association,
            gate.pdu_s,
            connection=self.request,
            on_tls_failure=lambda: gate.on_refused(Refusal.UNKNOWN_CREDENTIAL, where),
        )
        association.set_socket(connection)
        association.dimse = StoreMessages(association, gate.reception.begin)
        return association


def _contexts() -> list[Any]:
    syntaxes = [syntax for syntax in ALL_TRANSFER_SYNTAXES if is_taken(str(syntax))]
    storage = (UID(str(one.abstract_syntax)) for one in AllStoragePresentationContexts)
    contexts = [build_context(sop_class, syntaxes) for sop_class in storage]
    return [*contexts, build_context(Verification)]


def _reject_unless(event: evt.Event, callers: tuple[Caller, ...], on_refused: OnRefused) -> None:
    """Reject an AE title that is not this address's; pynetdicom knows titles alone."""
    association = event.assoc
    requested = association.requestor.primitive
    title = "" if requested is None else str(requested.calling_ae_title).strip()
    address = str(association.requestor.address)
    if any(one.ae_title == title and one.is_at(address) for one in callers):
        return
    log.warning("DIMSE: a calling AE title that is not allowed from its address")
    association.acse.send_reject(*_UNKNOWN_CALLER)
    association.is_rejected = True
    association.kill()
    on_refused(Refusal.CALLING_TITLE, _where(association))


def _tell_rejected(event: evt.Event, on_refused: OnRefused) -> None:
    """Tell of what pynetdicom rejects by itself: a title that is not ours, or one too many."""
    association = event.assoc
    requested = association.requestor.primitive
    called = "" if requested is None else str(requested.called_ae_title).strip()
    is_ours = called == association.acceptor.ae_title.strip()
    why = Refusal.TOO_OFTEN if is_ours else Refusal.CALLED_TITLE
    on_refused(why, _where(association))


def _where(association: Association) -> str:
    return neighbourhood(str(association.requestor.address))


def _store(event: evt.Event, reception: Reception, on_refused: OnRefused) -> int:
    """Answer one C-STORE with its status (PS3.4 B.2.3)."""
    status = _taken(event, reception)
    if status == Failure.OUT_OF_RESOURCES:
        on_refused(Refusal.FULL, _where(event.assoc))
    return status


def _taken(event: evt.Event, reception: Reception) -> int:
    incoming = getattr(event.request, "_dataset_path", None)
    if not isinstance(incoming, Incoming):
        return Failure.NOT_UNDERSTOOD
    try:
        if incoming.failure is not None:
            return incoming.failure
        reception.take(incoming.arrival, announced(event.request))
    except InstanceRefused as error:
        return error.failure
    except InboxFull:
        return Failure.OUT_OF_RESOURCES
    except SightlineError as error:
        log.warning("DIMSE: not stored: %s", type(error).__name__)
        return Failure.PROCESSING
    finally:
        incoming.discard()
    return _SUCCESS


def _close(event: evt.Event) -> None:
    _erase_arrivals(event.assoc)


def _erase_arrivals(association: Association) -> None:
    if isinstance(association.dimse, StoreMessages):
        association.dimse.close()
