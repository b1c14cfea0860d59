"""DIMSE messages as they arrive: commands of two kinds, data sets of one, each within bounds.

pynetdicom would gather any data set in memory, or in a temporary file of any size that nobody
erases when the association breaks. Here the fragments of a C-STORE go to the inbox one by one.

Source: DICOM PS3.7 6.3 and 9.3 (messages, C-STORE-RQ), PS3.8 E.2 (message control header).
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from io import SEEK_END
from queue import Empty
from typing import Any, Protocol, cast

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, DIMSEMessage
from pynetdicom.dsutils import create_file_meta
from pynetdicom.pdu_primitives import P_DATA

from cds_service.adapters.header import hostile_input
from cds_service.adapters.inbox_header import is_uid
from cds_service.domain.inbox import Failure
from cds_service.errors import InboxFull, SightlineError, UnreadableInstance

log = logging.getLogger(__name__)

COMMAND_LIMIT = 16 * 1024  # bytes; a C-STORE-RQ has about 300
DATA_SET_LIMIT = 2 * 1024 * 1024 * 1024  # after which a sender that was refused is cut off
WAITING = 4  # complete messages; a sender waits for each answer (PS3.7 D.3.3.3)
_INVALID_PDU = "Evt19"  # PS3.8 9.2.3: A-P-ABORT
_COMMAND, _LAST = 1, 2  # bits of the message control header


class Arrival(Protocol):
    """One instance that is arriving, in a file of its own."""

    def write(self, chunk: bytes) -> None:
        """Append; raise InboxFull."""

    def discard(self) -> None:
        """Erase it unless it was kept."""


Begin = Callable[[], AbstractContextManager[Any]]  # an Arrival; raises InboxFull


@dataclass(slots=True)
class Incoming:
    """The data set of one C-STORE: where it goes, or why it goes nowhere."""

    arrival: Any = None  # an Arrival
    failure: Failure | None = None
    size: int = field(default=0)

    def write(self, fragment: bytes) -> None:
        """Append; once it has failed the rest is only counted."""
        self.size += len(fragment)
        if self.failure is not None:
            return
        try:
            self.arrival.write(fragment)
        except InboxFull:
            self.fail(Failure.OUT_OF_RESOURCES)

    def fail(self, failure: Failure) -> None:
        """Erase what has come, and remember what to answer."""
        self.failure = failure
        self.discard()

    def discard(self) -> None:
        """Erase it unless it was kept."""
        if self.arrival is not None:
            self.arrival.discard()


class StoreMessages(DIMSEServiceProvider):
    """The messages of one association; whatever is not a C-STORE or a C-ECHO ends it."""

    def __init__(self, association: Association, begin: Begin) -> None:
        super().__init__(association)
        self._begin = begin
        self._incoming: Incoming | None = None
        self._command_bytes = 0
        self._is_over = False

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take what one PDU brought, fragment by fragment; whatever is odd ends it all."""
        try:
            with hostile_input("damaged-message", "its message is damaged"):
                for context_id, fragment in primitive.presentation_data_value_list:
                    if not self._is_over:
                        self._fragment(context_id, fragment)
        except UnreadableInstance:
            log.warning("DIMSE: a message that cannot be read")
            self._end()

    def close(self) -> None:
        """Erase what has come of an instance that will never be complete or answered."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None
        with suppress(Empty):
            while True:
                _, message = self.msg_queue.get(block=False)
                incoming = getattr(message, "_dataset_path", None)
                if isinstance(incoming, Incoming):
                    incoming.discard()

    def _fragment(self, context_id: int, fragment: bytes) -> None:
        if not fragment:
            self._end()
        elif fragment[0] & _COMMAND:
            self._command(context_id, fragment)
        else:
            self._data(context_id, fragment)

    def _command(self, context_id: int, fragment: bytes) -> None:
        self._command_bytes += len(fragment)
        is_in_data = self._incoming is not None
        if is_in_data or self._command_bytes > COMMAND_LIMIT or self.msg_queue.qsize() >= WAITING:
            return self._end()
        self._pass_on(context_id, fragment)
        if not fragment[0] & _LAST:
            return None
        self._command_bytes = 0
        message = self.message  # None: it was complete, since it announces no data set
        if message is None:
            return None
        if not isinstance(message, C_STORE_RQ):
            return self._end()
        self._incoming = self._opened(message)
        if self._incoming is None:
            self._end()
        return None

    def _data(self, context_id: int, fragment: bytes) -> None:
        incoming = self._incoming
        if incoming is None or self.message is None or self.message.context_id != context_id:
            return self._end()
        incoming.write(fragment[1:])
        if incoming.size > DATA_SET_LIMIT:
            return self._end()
        if fragment[0] & _LAST:
            self._incoming = None
            # It goes with the message, in the place of pynetdicom's own temporary file.
            self.message._data_set_path = cast(Any, incoming)
            self._pass_on(context_id, bytes([_LAST]))
        return None

    def _opened(self, message: C_STORE_RQ) -> Incoming | None:
        """Return where the announced data set goes; None for a context that was not accepted."""
        contexts = {one.context_id: one for one in self.assoc.accepted_contexts}
        context = contexts.get(message.context_id)
        if context is None:
            return None
        sop_class, sop_uid = announced(message.command_set)
        if not is_uid(sop_class) or not is_uid(sop_uid):
            return Incoming(failure=Failure.NOT_UNDERSTOOD)
        try:
            incoming = Incoming(self._begin())
        except InboxFull:
            return Incoming(failure=Failure.OUT_OF_RESOURCES)
        except SightlineError:  # the ledger is away
            return Incoming(failure=Failure.PROCESSING)
        incoming.write(preamble_and_meta(sop_class, sop_uid, context.transfer_syntax[0]))
        return incoming

    def _pass_on(self, context_id: int, fragment: bytes) -> None:
        """Let pynetdicom take one fragment; a command that is neither of the two ends it all."""
        if self.message is None:
            self.message = DIMSEMessage()
        message = self.message
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, fragment))
        if message.decode_msg(primitive, self.assoc):
            if not isinstance(message, C_STORE_RQ | C_ECHO_RQ):
                return self._end()
            self.msg_queue.put((context_id, cast(Any, message.message_to_primitive())))
            self.message = None
        return None

    def _end(self) -> None:
        self._is_over = True
        self.close()
        self.dul.event_queue.put(_INVALID_PDU)


def announced(command: Any) -> tuple[str, str]:  # noqa: ANN401  a data set or a primitive
    """Return SOP class and SOP instance as the command names them, "" where it does not."""
    return (
        str(getattr(command, "AffectedSOPClassUID", None) or ""),
        str(getattr(command, "AffectedSOPInstanceUID", None) or ""),
    )


def preamble_and_meta(sop_class: str, sop_uid: str, transfer_syntax: UID) -> bytes:
    """Return what precedes the data set in a file (PS3.10 7.1)."""
    buffer = DicomBytesIO(bytes(128) + b"DICM")
    buffer.seek(0, SEEK_END)
    meta = create_file_meta(
        sop_class_uid=UID(sop_class),
        sop_instance_uid=UID(sop_uid),
        transfer_syntax=transfer_syntax,
    )
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()
