"""What a header says about one frame: enhanced objects say it in groups, for all frames or for one.

Source: DICOM PS3.3 C.7.6.16 (Multi-frame Functional Groups), C.7.6.16.2.1 (Pixel Measures),
C.7.6.16.2.9 (Pixel Value Transformation), C.7.6.16.2.10 (Frame VOI LUT).
"""

from pydicom import Dataset

_IMAGE_GROUP = 0x0028
_IMAGER_PIXEL_SPACING = 0x00181164
_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence", "PixelMeasuresSequence")


def of_frame(dataset: Dataset, number: int) -> Dataset:
    """Return the attributes that hold for a frame, from 1, beside those of the whole object.

    The frame's own groups come before those shared by all frames, and both before the top level.
    Without groups it is the data set itself; a frame that no item describes has the shared ones.
    """
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or ())[:1]
    each = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())[number - 1 : number]
    if not shared and not each:
        return dataset
    merged = Dataset()
    merged.file_meta = dataset.file_meta
    for tag in dataset.keys():  # noqa: SIM118  a data set iterates over its elements
        if tag.group == _IMAGE_GROUP or tag == _IMAGER_PIXEL_SPACING:
            merged[tag] = dataset[tag]
    for item in (*shared, *each):
        for keyword in _GROUPS:
            for group in list(item.get(keyword) or ())[:1]:
                merged.update(group)
    return merged
