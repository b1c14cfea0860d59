"""Why an inbound door refused a call, as the audit log names it.

Source: DICOM PS3.8 9.3.4 (reasons of a rejection); threats T18 and T20.
"""

from enum import StrEnum


class Refusal(StrEnum):
    """The reason; the value is stable, the log is read for years."""

    UNKNOWN_CREDENTIAL = "unknown-credential"  # token, certificate, or secrets of a bell
    OTHER_EHR = "address-of-another-ehr"
    CLOSED = "door-closed"
    FULL = "inbox-full"
    TOO_LARGE = "too-large"
    TOO_OFTEN = "too-often"  # or too many at a time
    UNKNOWN_ADDRESS = "unknown-address"  # no archive calls from it
    CALLING_TITLE = "calling-ae-title"  # not the one of this address
    CALLED_TITLE = "called-ae-title"  # not ours
