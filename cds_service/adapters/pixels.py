"""Read DICOM: bytes to a header and to grey values as a person would see them, bright is bright.

pydicom gives MONOCHROME1 pixels as stored, and its presentation LUT looks at one of the two
attributes only: plain CR chest films would go into a model inverted, without a warning.

Source: DICOM PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (Photometric
Interpretation), C.8.11.3.1.4 and C.11.6 (Presentation LUT Shape).
"""

import logging

# Before gdcm: a libz that gdcm's wheel loads first is bound to gdcm's own zlib, and the next PNG
# that Pillow writes corrupts the heap and ends the process (python-gdcm 3.2.6, measured).
import zlib  # noqa: F401
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from cds_service.adapters.codestream import damaged
from cds_service.adapters.decode import StoredValues, stored_values
from cds_service.adapters.decoders import Decoders, first_usable
from cds_service.adapters.functional_groups import of_frame
from cds_service.adapters.header import hostile_input, parse, read_header
from cds_service.adapters.text_strokes import shows_text
from cds_service.domain.study import InstanceHeader

FloatImage = NDArray[np.float32]
GreyImage = NDArray[np.float32] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One decoded image: (rows, columns), in modality units, larger is brighter.

    `grey` is float32, or the stored 8 or 16 bits where they are the modality units: a film takes
    10 MB then and not 20.
    """

    grey: GreyImage = field(repr=False)
    is_polarity_known: bool = True  # False: the header contradicts itself, larger may be darker
    notes: tuple[str, ...] = ()  # codes: the decoder, "inverted", "text-in-image"
    sha256: str | None = None  # of what a decoder gave; None: the frame is not compressed
    lossy_decoder: str = ""  # and its version, where decoders may differ

    @property
    def values(self) -> FloatImage:
        """The image in float32."""
        return np.asarray(self.grey, dtype=np.float32)

    @property
    def negative(self) -> "Radiograph":
        """Return the image with black and white exchanged, in the same range of values."""
        values = self.values
        exchanged = np.float32(values.min() + values.max()) - values
        return Radiograph(exchanged, notes=(*self.notes, "inverted"))

    @property
    def rows(self) -> int:
        """Height in pixels."""
        return int(self.grey.shape[0])

    @property
    def columns(self) -> int:
        """Width in pixels."""
        return int(self.grey.shape[1])


class DicomReader:
    """Read instances from strangers; every failure is a StudyUnusable."""

    def __init__(self, decoders: Decoders | None = None) -> None:
        """`decoders`: as measured at start; without it the first that is installed of each."""
        self._decoders = first_usable() if decoders is None else decoders
        # Their messages may quote header values, and every failure is raised here anyway.
        logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
        gdcm.Trace.WarningOff()
        gdcm.Trace.ErrorOff()

    def header(self, instance: bytes) -> InstanceHeader:
        """Parse without the pixels; raise UnreadableInstance, UnsupportedTransferSyntax."""
        return read_header(instance)

    def pixels(self, instance: bytes, frame: int = 1) -> Radiograph:
        """Decode one frame, counted from 1, and apply modality LUT, VOI LUT and polarity.

        A linear VOI window is not applied: the model's own scaling does what it does.
        Where the header contradicts itself about black and white, the image is what Photometric
        Interpretation says, and its polarity is not known.
        Raises UnreadableInstance, UnsupportedTransferSyntax, StudyTooLarge, or StudyOutOfScope
        for what is not one grey image.
        """
        dataset = parse(instance, pixels=True)
        with hostile_input("damaged-pixels", "its image data are damaged"):
            says_dark, is_known = _polarity(dataset)
            decoded = stored_values(dataset, self._decoders, frame)
            grey = _displayed(of_frame(dataset, frame), decoded.values, is_inverted=says_dark)
            notes = (f"decoded-by-{decoded.decoder}",) if decoded.decoder else ()
            notes = (*notes, "inverted") if says_dark else notes
            notes = (*notes, "text-in-image") if shows_text(grey) else notes
            return Radiograph(grey, is_known, notes, decoded.sha256, decoded.lossy_decoder)


def _polarity(dataset: Dataset) -> tuple[bool, bool]:
    """Tell whether small stored values are bright, and whether the header is clear about it.

    MONOCHROME1 and the shape INVERSE say the same thing, so they invert once. Where they do not
    say the same, half of all images would be read as their negative by either rule.
    """
    photometric = str(dataset.get("PhotometricInterpretation", "")).upper()
    shape = str(dataset.get("PresentationLUTShape", "") or "").upper()
    says_dark = photometric == "MONOCHROME1"
    contradicts = (shape == "IDENTITY" and says_dark) or (shape == "INVERSE" and not says_dark)
    return says_dark, not contradicts


def _displayed(dataset: Dataset, stored: StoredValues, *, is_inverted: bool) -> GreyImage:
    values: NDArray[np.generic] = _in_modality_units(stored, dataset)
    is_shown_as_stored = values is stored and not is_inverted and stored.itemsize <= 2
    has_curve = _has_voi_curve(dataset)
    if is_shown_as_stored and not has_curve:
        return np.ascontiguousarray(stored)
    if has_curve:
        values = apply_voi_lut(values, dataset, prefer_lut=True)
    low, high = float(np.float32(values.min())), float(np.float32(values.max()))
    if not (isfinite(low) and isfinite(high) and low < high):
        raise damaged()
    grey = np.ascontiguousarray(values, dtype=np.float32)
    return np.subtract(np.float32(low + high), grey, out=grey) if is_inverted else grey


def _has_voi_curve(dataset: Dataset) -> bool:
    """Tell whether a VOI transformation bends the grey scale; a linear window does not."""
    is_sigmoid = str(dataset.get("VOILUTFunction", "")).upper() == "SIGMOID"
    has_window = "WindowCenter" in dataset and "WindowWidth" in dataset
    return bool(dataset.get("VOILUTSequence")) or (is_sigmoid and has_window)


def _in_modality_units(stored: StoredValues, dataset: Dataset) -> NDArray[np.generic]:
    """Apply the modality LUT; most radiographs state a rescale that changes nothing."""
    is_same = dataset.get("RescaleSlope") == 1 and dataset.get("RescaleIntercept") == 0
    if is_same and "ModalityLUTSequence" not in dataset:
        return stored
    values: NDArray[np.generic] = apply_modality_lut(stored, dataset)
    return values
