"""An archive's answer to a retrieve request: its status, its form, its instances.

Source: DICOM PS3.18 8.6.1 (multipart payloads), 8.7.3.4 (single part), 10.4.1.3 (status codes).
"""

from collections.abc import Iterator

import requests

from cds_service.adapters.archive_auth import refused
from cds_service.adapters.inbox_header import identify
from cds_service.adapters.multipart import MultipartBroken, PartTooLarge, boundary_of, parts
from cds_service.adapters.side_by_side import Answer
from cds_service.errors import (
    ArchiveFailed,
    InstanceRefused,
    StudyIncomplete,
    UnreadableInstance,
)

_CHUNK_BYTES = 64 * 1024


class CutOff(ArchiveFailed):
    """The archive began to answer and did not come to the end."""


def check_status(status: int) -> None:
    """Raise StudyIncomplete, ArchiveRefused or ArchiveFailed unless it is 200."""
    if status in (204, 404, 410):
        raise not_there()
    if status in (401, 403):
        raise refused(status)
    if status == 206:
        raise StudyIncomplete("partly-in-archive", "the archive has only some of its images")
    if status != 200:
        raise ArchiveFailed(f"The archive answered HTTP {status}.")


def content_of(response: requests.Response, answer: Answer) -> Iterator[bytes]:
    """Yield its instances; raise MultipartBroken or PartTooLarge, and as `Answer.receive`."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MultipartBroken("compressed although it was asked not to be")
    content_type = response.headers.get("Content-Type", "")
    chunks = answer.receive(response.iter_content(_CHUNK_BYTES))
    if content_type.split(";")[0].strip().lower() == "application/dicom":
        return _single(chunks, answer.limit_bytes)
    return parts(chunks, boundary_of(content_type), answer.limit_bytes)


def _single(chunks: Iterator[bytes], limit_bytes: int) -> Iterator[bytes]:
    """Read an answer that is one instance without an envelope (PS3.18 8.7.3.4)."""
    held = bytearray()
    for chunk in chunks:
        if len(held) + len(chunk) > limit_bytes:
            raise PartTooLarge("the instance is larger than the limit")
        held += chunk
    yield bytes(held)


def not_there() -> StudyIncomplete:
    """Return the refusal of what no archive has."""
    return StudyIncomplete("not-in-archive", "the archive does not have its images")


def uids_in(heads: list[bytes], cut_off: ArchiveFailed) -> set[tuple[str, str]]:
    """Return series and SOP UID of what came; raise `cut_off` where that cannot be told."""
    try:
        found = [identify(head) for head in heads]
    except (InstanceRefused, UnreadableInstance):
        raise cut_off from None
    return {(one.series_uid, one.sop_uid) for one in found}
