"""The finding's image and what the model saw in it, as pictures for the page.

Source: DICOM PS3.3 C.11.2 (a window for display); architecture "How pages look".
"""

import io

import numpy as np
from flask import Response, request
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from cds_service.domain.finding import Activation, Finding
from cds_service.errors import NotFound
from models.explain import HOT, Region, hot_regions
from models.overlay import colour_table, overlay_png
from smart_app.frame import Frame
from smart_app.images import frame_in, place_of
from smart_app.open_launch import OpenLaunch, within_launch

LONGEST_SIDE = 1600  # pixels
FASTEST = 1  # of zlib's levels: a fifth of the time of the default, a sixth more bytes
OVERLAY_SIDE = 512  # pixels; the page stretches the smooth map over the image
OUTLINE_SIDE = 1000  # units of the drawing, which scales to any size
SMOOTHING_REACH = 5  # steps of the grid to each side
SURROUNDINGS = "surroundings"


@within_launch
def picture(launch: OpenLaunch, result_id: str, code: str) -> Response:
    """Answer the image of the finding, windowed: it is seen before the viewer has started.

    Raises as `frame_in`.
    """
    result, finding = launch.finding(result_id, code)
    frame = frame_in(launch, result, place_of(finding))
    return Response(windowed_png(frame), mimetype="image/png")


@within_launch
def heatmap(launch: OpenLaunch, result_id: str, code: str) -> Response:
    """Answer the activation as colours of full strength; the page sets how much shows through.

    `within=surroundings` leaves the outlined regions clear: who wants the outline looks into it.
    """
    heat = _heat(_activation(launch.finding(result_id, code)[1]))
    png = overlay_png(heat, (), OVERLAY_SIDE, OVERLAY_SIDE, fill=1.0)
    if request.args.get("within") == SURROUNDINGS:
        png = _without_regions(png, _outlined(heat))
    return Response(png, mimetype="image/png")


@within_launch
def outline(launch: OpenLaunch, result_id: str, code: str) -> Response:
    """Answer the outlines of the regions that carry the score, as a drawing."""
    heat = _heat(_activation(launch.finding(result_id, code)[1]))
    return Response(outline_svg(_outlined(heat)), mimetype="image/svg+xml")


def legend() -> Response:
    """Answer the colours of the heat map from cold to hot, as one row."""
    return Response(_png(Image.fromarray(colour_table()[np.newaxis])), mimetype="image/png")


def stands_out(activation: Activation) -> bool:
    """Tell whether some area is warm enough to be outlined."""
    return max(activation.values, default=0.0) >= HOT


def windowed_png(frame: Frame) -> bytes:
    """Make an 8 bit picture of a frame in its window: PNG, at most 1600 pixels a side.

    Its shape is that of the body: an image of oblong pixels is stretched.
    """
    picture = Image.fromarray(frame.stored.astype(np.float32))
    down, across = frame.spacing_mm or (1.0, 1.0)
    height, width = picture.height * down, picture.width * across
    scale = min(LONGEST_SIDE / max(height, width), picture.width / width, picture.height / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BOX)
    low, high = frame.window
    shown = np.clip((np.asarray(picture) - low) / (high - low) * 255.0, 0, 255).astype(np.uint8)
    return _png(Image.fromarray(shown))


def outline_svg(regions: tuple[Region, ...]) -> str:
    """Draw the regions' outlines, smoothed; the line stays thin however large the page."""
    paths = "".join(
        f'<path vector-effect="non-scaling-stroke" d="M{_path(region)} Z"/>' for region in regions
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {OUTLINE_SIDE} {OUTLINE_SIDE}" '
        'preserveAspectRatio="none" fill="none">'
        f'<g stroke="#000" stroke-opacity="0.6" stroke-width="4.5">{paths}</g>'
        f'<g stroke="#ffd65c" stroke-width="2">{paths}</g></svg>'
    )


def _outlined(heat: NDArray[np.float32]) -> tuple[Region, ...]:
    return hot_regions(heat, OUTLINE_SIDE, OUTLINE_SIDE)


def _without_regions(overlay: bytes, regions: tuple[Region, ...]) -> bytes:
    """Clear the map up to the very line that is drawn, with an edge as smooth."""
    image = Image.open(io.BytesIO(overlay))
    cover = Image.new("L", (OUTLINE_SIDE, OUTLINE_SIDE), 255)
    pen = ImageDraw.Draw(cover)
    for region in regions:
        pen.polygon([(x, y) for x, y in _smooth(region)], fill=0)
    cover = cover.resize(image.size, Image.Resampling.BOX)
    image.putalpha(ImageChops.multiply(image.getchannel("A"), cover))
    return _png(image)


def _path(region: Region) -> str:
    return " L".join(f"{x:.0f} {y:.0f}" for x, y in _smooth(region))


def _smooth(region: Region) -> NDArray[np.float64]:
    """Return the points (n, 2) of its outline, each the mean of its neighbours on the staircase."""
    points = np.asarray(region.outline, dtype=np.float64)
    reach = min(SMOOTHING_REACH, len(points) // 8)
    shifted = [np.roll(points, shift, axis=0) for shift in range(-reach, reach + 1)]
    return np.asarray(np.mean(shifted, axis=0))


def _activation(finding: Finding) -> Activation:
    if finding.activation is None:
        raise NotFound("This finding has no heat map.")
    return finding.activation


def _heat(activation: Activation) -> NDArray[np.float32]:
    values = np.asarray(activation.values, dtype=np.float32)
    return values.reshape(activation.rows, activation.columns)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=FASTEST)
    return stream.getvalue()
