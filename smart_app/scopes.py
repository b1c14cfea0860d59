"""What Sightline asks for at sign-in: the least that the opened view needs.

Source: SMART App Launch 2.2 "Scopes and Launch Context" (v1 and v2 syntax, launch context,
online and offline access).
"""

from enum import StrEnum

RESOURCES = (
    ("Patient", "r"),
    ("ImagingStudy", "rs"),
    ("Observation", "rs"),
    ("DiagnosticReport", "rs"),
)
# Across patients, as far as the user may see them anyway.
USER_RESOURCES = (("Patient", "rs"), ("ImagingStudy", "rs"), ("Observation", "rs"))


class LaunchKind(StrEnum):
    """How the app was opened, and so what is in its context."""

    EHR = "ehr"  # from a chart: its patient
    PATIENT = "patient"  # on its own: the patient whom the user chose at sign-in
    USER = "user"  # on its own: no patient, and what this user may read of any


_CONTEXT = {
    LaunchKind.EHR: ("launch",),
    LaunchKind.PATIENT: ("launch/patient",),
    LaunchKind.USER: (),
}


def scope_for(kind: LaunchKind, *, speaks_v2: bool, refresh: str) -> str:
    """Return the scope parameter.

    refresh   "online_access", "offline_access" or "", as the server offers it
    """
    level = "user" if kind is LaunchKind.USER else "patient"
    resources = USER_RESOURCES if kind is LaunchKind.USER else RESOURCES
    wanted = (f"{level}/{name}.{rights if speaks_v2 else 'read'}" for name, rights in resources)
    return " ".join((*_CONTEXT[kind], "openid", "fhirUser", *filter(None, [refresh]), *wanted))
