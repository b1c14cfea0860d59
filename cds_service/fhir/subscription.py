"""The Subscription by which an EHR tells us that it has changed an ImagingStudy.

Source: FHIR R4 Subscription (rest-hook).
"""

from typing import Any

CRITERIA = "ImagingStudy?status=available"


def rest_hook(endpoint: str, authorization: str) -> dict[str, Any]:
    """Return a Subscription without a payload: no word about a patient leaves the EHR with it.

    endpoint        address that the EHR posts to
    authorization   value of the header that it sends along
    """
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Sightline analyses new imaging studies",
        "criteria": CRITERIA,
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint,
            "header": [f"Authorization: {authorization}"],
        },
    }
