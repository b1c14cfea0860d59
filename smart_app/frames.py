"""What the viewer reads: the list of a result's images, and each image as raw values.

Raw values need no decoder in the browser, and so no policy weaker than `default-src 'self'`.

Source: architecture "one TypeScript island"; DICOM PS3.18 8.6.1 (bulk data); CSP Level 3.
"""

import json
from itertools import groupby

from flask import Response, jsonify, url_for

from smart_app.images import frame_at, places_of
from smart_app.open_launch import OpenLaunch, within_launch

FACTS_HEADER = "Sightline-Frame"


@within_launch
def images(launch: OpenLaunch, result_id: str) -> Response:
    """List the images by series, and for each finding's code the number of its image."""
    result = launch.result(result_id)
    places = places_of(launch, result)
    numbered = groupby(enumerate(places), key=lambda entry: entry[1].series_uid)

    def address(number: int) -> str:
        return url_for("app.frame", handle=launch.handle, result_id=result_id, number=number)

    return jsonify(
        {
            "series": [
                [{"frame": address(number), "view": place.view} for number, place in series]
                for _, series in numbered
            ],
            "findings": {
                finding.coding.code: number
                for finding in result.analysis.findings
                for number, place in enumerate(places)
                if place.shows(finding)
            },
        }
    )


@within_launch
def frame(launch: OpenLaunch, result_id: str, number: int) -> Response:
    """Answer one image: 16 bit values, little endian, row by row; the header says the rest."""
    shown = frame_at(launch, launch.result(result_id), number)
    response = Response(shown.raw, mimetype="application/octet-stream")
    response.headers[FACTS_HEADER] = json.dumps(shown.facts)
    return response
