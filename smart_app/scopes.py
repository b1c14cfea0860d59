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
# Instead of ImagingStudy where an EHR has none: an order's or report's number leads to its study.
ORDERS = (("ServiceRequest", "rs"), ("DiagnosticReport", "rs"))
STUDIES = (("ImagingStudy", "rs"),)
WHO = ("Practitioner", "r")  # the user's own record: which languages they speak
ROLES = ("PractitionerRole", "rs")


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


def leading_to_studies(*, with_studies: bool) -> tuple[tuple[str, str], ...]:
    """Return the types, and rights, of which one must be readable for a study to be shown."""
    return STUDIES if with_studies else ORDERS


def scope_for(
    kind: LaunchKind,
    *,
    speaks_v2: bool,
    refresh: str,
    with_roles: bool = False,
    with_studies: bool = True,
) -> str:
    """Return the scope parameter.

    refresh        "online_access", "offline_access" or "", as the server offers it
    with_roles     whether the site's rules look at the roles of a Practitioner
    with_studies   whether the EHR has ImagingStudy
    """
    level = "user" if kind is LaunchKind.USER else "patient"
    listed: tuple[tuple[str, str], ...] = USER_RESOURCES if kind is LaunchKind.USER else RESOURCES
    if not with_studies:
        others = (one for one in listed if one not in STUDIES)
        listed = tuple(dict.fromkeys((*others, *ORDERS)))
    about = [(level, *one) for one in listed]
    about += [("user", *one) for one in (WHO, *([ROLES] if with_roles else []))]
    wanted = (f"{of}/{name}.{rights if speaks_v2 else 'read'}" for of, name, rights in about)
    return " ".join((*_CONTEXT[kind], "openid", "fhirUser", *filter(None, [refresh]), *wanted))
