"""An imaging order that is being written, as far as it can be compared with a study.

Source: FHIR R4 ServiceRequest; CDS Hooks Library 1.0.1, order-select and order-sign.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImagingOrder:
    """One draft imaging order."""

    reference: str  # "ServiceRequest/1", its name in the draft orders
    region: str  # "chest"
    kind: str | None = None  # "X-ray"; None when the order does not say

    def is_comparable_with(self, region: str | None, kind: str | None) -> bool:
        """Tell whether a study shows the same region, in the same way as far as both say how.

        A CT after an X-ray is a next step and no repetition.
        """
        return region == self.region and (kind is None or self.kind in {None, kind})
