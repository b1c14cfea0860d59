"""Draw where a score comes from over the radiograph, as a PNG for people.

Source: models/explain.py, models/overlay.py.
"""

import numpy as np

from cds_service.adapters.pixels import Radiograph
from cds_service.domain.finding import Activation
from models.explain import hot_regions
from models.overlay import picture_png

_WINDOW_PERCENTILES = (0.5, 99.5)


def heatmap_png(image: Radiograph, activation: Activation, label: str) -> bytes:
    """Return an opaque PNG, as large as the image, the window between robust limits.

    label   of the model; the file carries it as its disclaimer
    """
    low, high = np.percentile(image.values, _WINDOW_PERCENTILES)
    shown = np.clip((image.values - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    values = np.array(activation.values, dtype=np.float32)
    heat = values.reshape(activation.rows, activation.columns)
    regions = hot_regions(heat, image.rows, image.columns)
    return picture_png(shown, heat, regions, disclaimer=label)
