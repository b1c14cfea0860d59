"""Ask an archive by C-FIND and C-GET, on one association.

Source: DICOM PS3.4 C.4.1 (C-FIND), C.4.3 (C-GET), PS3.7 D.3.3.4 (role selection), PS3.8 9.3.4.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol, cast

from pydicom import Dataset
from pydicom.multival import MultiValue
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as FIND,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as GET,
)
from pynetdicom.transport import AddressInformation

from cds_service.adapters.archive_answer import not_there
from cds_service.adapters.dimse.answers import AnswerMessages, cut_off
from cds_service.adapters.dimse.connection import (
    PDU_BYTES,
    GuardedSocket,
    GuardedStates,
    be_silent,
)
from cds_service.adapters.dimse.messages import announced, preamble_and_meta
from cds_service.adapters.egress import Origin
from cds_service.adapters.header import hostile_input
from cds_service.adapters.side_by_side import Allowance, Answer
from cds_service.domain.archive_address import DimseAddress
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    ArchiveRefused,
    StudyIncomplete,
    StudyTooLarge,
    UnreadableInstance,
)
from cds_service.usecases.ports import Budget

_SUCCESS, _SOME_FAILED = 0x0000, 0xB000
_PENDING = (0xFF00, 0xFF01)
_NO_ROOM = 0xA700
_FOR_GOOD = 1  # of an association's rejection (PS3.8 9.3.4)
_IDLE = "Sta1"  # of the upper layer


class Addresses(Protocol):
    """Resolves a registered name once; refuses one that may not be dialled (`Egress`)."""

    def __call__(self, tenant: Tenant, origin: Origin, *, registered: bool) -> list[str]:
        """Return the addresses that were checked; raise EndpointNotAllowed, OSError."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an archive may take, in seconds."""

    connect_s: float = 10.0
    answer_s: float = 30.0  # for its next message, and for each PDU
    all_s: float = 300.0  # for everything on one association


class Conversation:
    """An association that was accepted; every failure is one of ours."""

    def __init__(
        self, association: Association, messages: AnswerMessages, came: list[bytes]
    ) -> None:
        self._association, self._messages, self._came = association, messages, came

    def find(self, wanted: Dataset) -> Iterator[dict[str, str]]:
        """Yield what each match says of the wanted keywords (PS3.4 C.4.1), "" where nothing."""
        for status, row in self._association.send_c_find(wanted, FIND):
            self._check(status)
            if status.Status in _PENDING:
                yield _texts(row or Dataset(), wanted)

    def get(self, wanted: Dataset) -> Iterator[bytes]:
        """Yield each instance as a file (PS3.10); all of them, or an error at the end.

        Raises StudyIncomplete, StudyTooLarge before the budget is passed, ArchiveFailed.
        """
        count = 0
        for status, _ in self._association.send_c_get(wanted, GET):
            while self._came:
                count += 1
                yield self._came.pop(0)
            self._check(status)
            if status.Status == _SOME_FAILED or status.get("NumberOfFailedSuboperations"):
                raise StudyIncomplete(
                    "partly-in-archive", "the archive has only some of its images"
                )
            if status.Status == _SUCCESS:
                _check_count(status, count)

    def _check(self, status: Dataset) -> None:
        if self._messages.failure is not None:
            raise self._messages.failure
        if status.get("Status") not in (_SUCCESS, _SOME_FAILED, *_PENDING):
            raise cut_off()


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls the registered archives, at addresses that were checked."""

    addresses: Addresses
    patience: Patience

    @contextmanager
    def conversation(
        self,
        tenant: Tenant,
        address: DimseAddress,
        allowance: Allowance | None = None,
        storage: Sequence[PresentationContext] = (),
    ) -> Iterator[Conversation]:
        """Ask for an association, for C-FIND and with `storage` for C-GET; released at the end.

        allowance   of what the images may take; without it none may come

        Raises ArchiveFailed, EndpointNotAllowed, and ArchiveRefused for an archive that does not
        let us in.
        """
        origin = Origin(address.scheme, address.host, address.port)
        try:
            checked = self.addresses(tenant, origin, registered=True)
        except OSError as error:
            raise cut_off() from error
        with (allowance or Allowance(Budget(bytes=0, instances=0))).answer() as answer:
            client = _Client(address, answer, self.patience)
            contexts = [build_context(FIND), *([build_context(GET)] if storage else []), *storage]
            association = client.call(checked, contexts)
            is_done = False
            try:
                _require(association, is_get=bool(storage))
                yield Conversation(association, client.messages, client.came)
                is_done = True
            finally:
                failed = client.messages.failure is not None
                _hang_up(association, is_done=is_done, is_ended=failed)
                client.guarded.end()


class _Client(AE):
    """An application entity of which every connection is guarded."""

    messages: AnswerMessages
    guarded: GuardedSocket

    def __init__(self, address: DimseAddress, answer: Answer, patience: Patience) -> None:
        be_silent()
        super().__init__(address.calling)
        self.acse_timeout = self.dimse_timeout = self.network_timeout = patience.answer_s
        self.connection_timeout = patience.connect_s
        self._address, self._answer, self._patience = address, answer, patience
        self.came: list[bytes] = []

    def call(self, checked: Sequence[str], contexts: list[PresentationContext]) -> Association:
        """Return the association that was accepted; raise ArchiveFailed, ArchiveRefused."""
        reached: list[str] = []
        tls = ssl.create_default_context() if self._address.is_tls else None
        for one in checked:
            association = self.associate(
                one,
                self._address.port,
                contexts,
                self._address.called,
                PDU_BYTES,
                [build_role(uid, scp_role=True) for uid in _kinds(contexts)],
                tls_args=None if tls is None else (tls, self._address.host),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, _note(reached, one)),
                    (evt.EVT_C_STORE, self._store),
                ],
            )
            if association.is_established:
                return association
            association.kill()
            self.guarded.end()
            if reached:
                raise _refusal(association)
        raise cut_off()

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> GuardedSocket:
        self.messages = AnswerMessages(assoc, self._answer, time.monotonic() + self._patience.all_s)
        assoc.dimse = self.messages
        assoc.dul.state_machine = GuardedStates(assoc.dul)
        # Its reactor serves what the other side asks for, which is nothing here; asked while that
        # thread ends, pynetdicom waits for it for ever.
        assoc._run_reactor = lambda: None  # type: ignore[method-assign]
        assoc._is_paused = True
        self.guarded = GuardedSocket(assoc, self._patience.answer_s, address=address)
        self.guarded.tls_args = tls_args
        return self.guarded

    def _store(self, event: evt.Event) -> int:
        """Take one instance of a C-GET (PS3.4 B.2.3)."""
        request = cast(C_STORE, event.request)
        sop_class, sop_uid = announced(request)
        head = preamble_and_meta(sop_class, sop_uid, event.context.transfer_syntax)
        try:
            self._answer.arrive(len(head))
            self.came.append(self._answer.keep(head + cast(BytesIO, request.DataSet).getvalue()))
        except StudyTooLarge as error:
            self.messages.stop(error)
            return _NO_ROOM
        return _SUCCESS


def _texts(row: Dataset, wanted: Dataset) -> dict[str, str]:
    try:
        with hostile_input("damaged-message", "its message is damaged"):
            return {one.keyword: _text(row.get(one.keyword)) for one in wanted}
    except UnreadableInstance:
        raise cut_off() from None


def _text(value: object) -> str:
    values = value if isinstance(value, MultiValue) else [] if value is None else [value]
    return "\\".join(str(one).strip(" \0") for one in values)


def _kinds(contexts: Sequence[PresentationContext]) -> list[str]:
    """Return the storage classes of these contexts, each once."""
    kinds = (str(one.abstract_syntax) for one in contexts)
    return list(dict.fromkeys(one for one in kinds if one not in (FIND, GET)))


def _note(reached: list[str], address: str) -> Callable[[evt.Event], Any]:
    return lambda _event: reached.append(address)


def _require(association: Association, *, is_get: bool) -> None:
    accepted = association.accepted_contexts
    has_get = any(one.abstract_syntax == GET for one in accepted)
    has_storage = any(one.as_scp for one in accepted if one.abstract_syntax not in (FIND, GET))
    if not any(one.abstract_syntax == FIND for one in accepted):
        raise ArchiveRefused("The archive offers no C-FIND.")
    if is_get and not (has_get and has_storage):
        raise ArchiveRefused("The archive offers no C-GET.")


def _refusal(association: Association) -> ArchiveFailed | ArchiveRefused:
    """Say why an archive that was reached made no association; its own words are not repeated."""
    said = association.acceptor.primitive
    if association.is_rejected and said is not None and said.result == _FOR_GOOD:
        return ArchiveRefused("The archive does not let us in (AE title).")
    if association.rejected_contexts and not association.accepted_contexts:
        return ArchiveRefused("The archive offers neither C-FIND nor C-GET.")
    return cut_off()


def _check_count(status: Dataset, count: int) -> None:
    """Let an answer that is short not pass for a smaller study."""
    if not count:
        raise not_there()
    stated = status.get("NumberOfCompletedSuboperations")
    if stated is not None and stated != count:
        raise cut_off()


def _hang_up(association: Association, *, is_done: bool, is_ended: bool) -> None:
    if is_done:
        association.release()
    elif is_ended or association.dul.state_machine.current_state == _IDLE:
        association.kill()
    else:
        association.abort()
