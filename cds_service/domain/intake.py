"""Intake: the doors through which a study comes before any hook asks for it.

Every one is closed until the administrator of that EHR's registration opens it.

Source: FHIR R4 Subscription, ImagingStudy; DICOM PS3.18 (QIDO-RS, STOW-RS), PS3.4 B (Storage);
threats T7 and T18.
"""

from enum import StrEnum


class Door(StrEnum):
    """One way in; the value is stable, it stands in the ledger and on the command line."""

    SUBSCRIPTION = "subscription"  # the EHR rings: FHIR R4 rest-hook on ImagingStudy
    FHIR_POLLING = "fhir-polling"  # ImagingStudy by _lastUpdated
    DICOMWEB_POLLING = "dicomweb-polling"  # the archive's newest studies by QIDO-RS
    ORTHANC_CHANGES = "orthanc-changes"  # Orthanc's /changes
    AZURE_CHANGE_FEED = "azure-change-feed"  # the Azure DICOM service's /changefeed
    STOW_RS = "stow-rs"  # the archive pushes over HTTP
    DIMSE = "dimse"  # the archive pushes by C-STORE


# What `sightline intake run` asks, one after the other.
POLLED = (
    Door.FHIR_POLLING,
    Door.DICOMWEB_POLLING,
    Door.ORTHANC_CHANGES,
    Door.AZURE_CHANGE_FEED,
)
CHANGE_FEEDS = frozenset({Door.ORTHANC_CHANGES, Door.AZURE_CHANGE_FEED})
