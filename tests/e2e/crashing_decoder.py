"""The command `sightline`, whose decoders read address 0 at every compressed frame of a study.

Worker processes are spawned, so each imports this module before it works. What is not compressed
goes through no decoder, and the start-up probe through none of these.

Source: threat T13 (memory corruption in a native decoder).
"""

import ctypes
from typing import NoReturn
from unittest.mock import patch

from pydicom import Dataset
from pydicom.uid import UID

from cds_service.adapters import decode
from cds_service.cli import main


def crash(name: str, syntax: UID, frame: bytes, dataset: Dataset) -> NoReturn:
    """Stand for a decoder with a bug: the kernel ends the process."""
    ctypes.string_at(0)
    raise AssertionError("a process that reads address 0 is ended")


patch.object(decode, "decoded_frame", crash).start()

if __name__ == "__main__":
    main()
