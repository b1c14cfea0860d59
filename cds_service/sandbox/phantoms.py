"""A chest drawn from ellipsoids, for the views that no composite picture can show.

The same volume gives the sections of the CT and, summed along one axis, the lateral radiograph.
Nobody was ever imaged for it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HALF_WIDTH_MM, HALF_DEPTH_MM, HALF_HEIGHT_MM = 130.0, 105.0, 150.0  # what the volume spans
AIR_HU, TISSUE_HU, LUNG_HU, BLOOD_HU, BONE_HU = -1000, 40, -780, 55, 500


@dataclass(frozen=True, slots=True)
class _Ellipsoid:
    """Centre and radii in mm: x to the patient's left, y to the back, z to the head."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    hounsfield: int


_BODY = _Ellipsoid((0, 0, 0), (118, 82, 230), TISSUE_HU)
_ORGANS = (  # a later one lies inside an earlier one
    _Ellipsoid((-52, -4, 8), (46, 62, 116), LUNG_HU),
    _Ellipsoid((52, -4, 8), (46, 62, 116), LUNG_HU),
    _Ellipsoid((0, 0, -170), (112, 78, 92), TISSUE_HU),  # what lies under the diaphragm
    _Ellipsoid((16, -26, -42), (44, 36, 46), BLOOD_HU),  # heart
    _Ellipsoid((4, 22, 30), (12, 12, 130), BLOOD_HU),  # aorta
    _Ellipsoid((0, 56, 0), (24, 17, 400), BONE_HU),  # spine
    _Ellipsoid((0, -74, 10), (14, 5, 80), BONE_HU),  # sternum
)


def chest_volume(slices: int, rows: int, columns: int) -> NDArray[np.int16]:
    """Return (slices, rows, columns) in Hounsfield units.

    From foot to head, from front to back, and from the patient's right to the left, as an axial
    CT is shown.
    """
    z = np.linspace(-HALF_HEIGHT_MM, HALF_HEIGHT_MM, slices)[:, None, None]
    y = np.linspace(-HALF_DEPTH_MM, HALF_DEPTH_MM, rows)[None, :, None]
    x = np.linspace(-HALF_WIDTH_MM, HALF_WIDTH_MM, columns)[None, None, :]
    volume = np.full((slices, rows, columns), AIR_HU, np.int16)
    body = _distance(_BODY, x, y, z)
    volume[body < 1] = TISSUE_HU
    # Ribs: bands of a shell just outside the lungs that slope downwards to the front.
    slope = np.cos((z + 0.45 * y) * 2 * np.pi / 27)
    volume[(body > 0.72) & (body < 0.78) & (slope > 0.55)] = BONE_HU
    for organ in _ORGANS:
        volume[(_distance(organ, x, y, z) < 1) & (body < 0.97)] = organ.hounsfield
    return volume


def lateral_projection(rows: int, columns: int) -> NDArray[np.uint8]:
    """Return the left lateral radiograph of the volume, (rows, columns), bone light, head up."""
    attenuation = chest_volume(rows, columns, 96).astype(np.float32) - AIR_HU
    depth = attenuation.sum(axis=2)[::-1]
    shown: NDArray[np.uint8] = np.round((depth / depth.max()) ** 0.8 * 255).astype(np.uint8)
    return shown


def _distance(
    shape: _Ellipsoid, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared distance from the centre in units of the radii; 1 is the surface."""
    (cx, cy, cz), (rx, ry, rz) = shape.centre, shape.radii
    distance: NDArray[np.float64] = (
        ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2
    )
    return distance
