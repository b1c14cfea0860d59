"""In which transfer syntax a DICOMweb archive is asked for images: as the site wants, or as stored.

Source: DICOM PS3.18 8.7.3.5.2 (transfer-syntax), 10.4.1.3 (status codes); ADR 0013.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from cds_service.adapters.egress import Origin, origin_of
from cds_service.domain.image_form import ImageForm

# PS3.18 has 406 for it; Orthanc 1.10 answers 500 where it has no converter (seen 2026-11-23).
CANNOT = frozenset({400, 406, 415, 500, 501})
REMEMBERED_S = 600.0
_STORED = "*"
_SYNTAXES = {ImageForm.UNCOMPRESSED: ExplicitVRLittleEndian, ImageForm.RLE: RLELossless}


class Unable:
    """Which archives could not convert, for a while: not every study need ask twice.

    Only for whoever takes any form. An archive that cannot convert one study may convert another,
    so the form of what comes while this remembers depends on what was asked before.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._until: dict[tuple[Origin, ImageForm], float] = {}

    def note(self, url: str, form: ImageForm) -> None:
        """Remember that this archive gave nothing in this form, and something as stored."""
        self._until[origin_of(url), form] = self._now_s() + REMEMBERED_S

    def knows(self, url: str, form: ImageForm) -> bool:
        """Tell whether that was noted of late."""
        return self._until.get((origin_of(url), form), 0.0) > self._now_s()


@contextmanager
def answer_in(
    form: ImageForm, url: str, ask: Callable[[str], requests.Response], unable: Unable | None
) -> Iterator[requests.Response]:
    """Ask for this form; as stored where the archive says that it cannot, or takes too long.

    ask     makes the request with this Accept header
    unable  remembers and is asked first; None: whatever was answered before, the form is tried
    """
    is_tried = form in _SYNTAXES and not (unable and unable.knows(url, form))
    converted = _answer_in_time(ask, _SYNTAXES[form]) if is_tried else None
    if converted is not None:
        with converted:
            if converted.status_code not in CANNOT:
                yield converted
                return
    with ask(_accept(_STORED)) as response:
        if is_tried and unable and response.status_code == 200:
            unable.note(url, form)
        yield response


def _answer_in_time(
    ask: Callable[[str], requests.Response], syntax: str
) -> requests.Response | None:
    """Return None where the archive is there and says nothing: it converts before it answers."""
    try:
        return ask(_accept(syntax))
    except requests.ReadTimeout:
        return None


def _accept(syntax: str) -> str:
    return f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'
