"""How a registration writes an archive that speaks DIMSE and no DICOMweb.

``dicom://OURS@THEIRS@HOST:PORT``, or ``dicoms://`` for TLS: both AE titles, and where it listens.

Source: DICOM PS3.5 6.2 (AE), PS3.8 9.1 (TCP port), PS3.15 B (TLS).
"""

import re
from dataclasses import dataclass

_TITLE = r"[A-Za-z0-9_.-]{1,16}"
_FORM = re.compile(
    rf"(?P<scheme>dicoms?)://(?P<calling>{_TITLE})@(?P<called>{_TITLE})@"
    r"(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})"
)
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class DimseAddress:
    """An archive that is asked by C-FIND and C-GET."""

    calling: str  # our AE title
    called: str  # the archive's
    host: str  # a name or an address, lower case, IPv6 without brackets
    port: int
    is_tls: bool

    @property
    def scheme(self) -> str:
        """As its address begins."""
        return "dicoms" if self.is_tls else "dicom"


def is_dimse(address: str) -> bool:
    """Tell whether this is meant as the address of an archive that speaks DIMSE."""
    return address.lower().startswith(("dicom:", "dicoms:"))


def dimse_address(text: str) -> DimseAddress:
    """Read an address; raise ValueError for any other form."""
    found = _FORM.fullmatch(text)
    port = int(found["port"]) if found else 0
    if found is None or not 1 <= port <= _LAST_PORT:
        raise ValueError("not dicom://OURS@THEIRS@HOST:PORT")
    return DimseAddress(
        found["calling"],
        found["called"],
        found["host"].strip("[]").lower(),
        port,
        found["scheme"] == "dicoms",
    )
