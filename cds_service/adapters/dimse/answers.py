"""What an archive answers on an association of ours, counted before anybody holds more of it.

pynetdicom would gather a data set of any length, and messages of any kind and number.

Source: DICOM PS3.7 9.1 (C-STORE, C-FIND, C-GET), PS3.8 E.2 (message control header); threat T12.
"""

import time
from typing import cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_FIND_RSP, C_GET_RSP, C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from cds_service.adapters.dimse.messages import COMMAND_LIMIT
from cds_service.adapters.header import hostile_input
from cds_service.adapters.side_by_side import Answer, too_large
from cds_service.errors import ArchiveFailed, SightlineError, UnreadableInstance

MESSAGES = 2000  # of one association: rows, instances and the reports between them
ROWS_BYTES = 1024 * 1024  # of all that is no image
_INVALID_PDU = "Evt19"  # PS3.8 9.2.3: A-P-ABORT
_COMMAND, _LAST = 1, 2  # bits of the message control header
_KINDS = (C_STORE_RQ, C_FIND_RSP, C_GET_RSP)


class AnswerMessages(DIMSEServiceProvider):
    """The messages of one association; what passes a bound or cannot be read ends it at once."""

    def __init__(self, association: Association, answer: Answer, deadline: float) -> None:
        """Count images against `answer`, and let nothing come after `deadline` (monotonic)."""
        super().__init__(association)
        self.failure: SightlineError | None = None
        self._answer, self._deadline = answer, deadline
        self._command_bytes = self._rows_bytes = self._messages = 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take what one PDU brought, fragment by fragment."""
        for context_id, fragment in primitive.presentation_data_value_list:
            if self.failure is not None:
                return
            try:
                with hostile_input("damaged-message", "its message is damaged"):
                    self._take(context_id, fragment)
            except UnreadableInstance:
                self.stop(cut_off())
            except SightlineError as error:
                self.stop(error)

    def stop(self, failure: SightlineError) -> None:
        """Abort the association; whoever waits for its next message gets none."""
        self.failure = self.failure or failure
        self.dul.event_queue.put(_INVALID_PDU)
        self.msg_queue.put((None, None))

    def _take(self, context_id: int, fragment: bytes) -> None:
        is_in_data = isinstance(self.message, _KINDS)
        is_command = bool(fragment[0] & _COMMAND)
        if is_command == is_in_data or time.monotonic() > self._deadline:
            raise _unreadable()
        if is_command:
            self._count_command(fragment)
        else:
            self._count_data(context_id, fragment)
        self.message = message = self.message or DIMSEMessage()
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, fragment))
        is_whole = message.decode_msg(primitive, self.assoc)
        if message.command_set and not isinstance(message, _KINDS):
            raise _unreadable()
        if is_whole:
            self.message = None
            self.msg_queue.put((context_id, cast("object", message.message_to_primitive())))  # type: ignore[arg-type]  # as pynetdicom does

    def _count_command(self, fragment: bytes) -> None:
        self._command_bytes += len(fragment)
        if self._command_bytes > COMMAND_LIMIT:
            raise _unreadable()
        if fragment[0] & _LAST:
            self._command_bytes = 0
            self._messages += 1
        if self._messages > MESSAGES:
            raise too_large()

    def _count_data(self, context_id: int, fragment: bytes) -> None:
        if self.message is None or self.message.context_id != context_id:
            raise _unreadable()
        if isinstance(self.message, C_STORE_RQ):
            return self._answer.arrive(len(fragment))
        self._rows_bytes += len(fragment)
        if self._rows_bytes > ROWS_BYTES:
            raise too_large()
        return None


def cut_off() -> ArchiveFailed:
    """Return the failure of an archive that stopped, or says what nobody understands."""
    return ArchiveFailed("The archive did not answer, or not to the end.")


def _unreadable() -> UnreadableInstance:
    return UnreadableInstance("damaged-header", "its message is damaged")
