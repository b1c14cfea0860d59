"""The options of `sightline ehr add` and `change`: the fields of a Registration, typed by a person.

Source: usecases/registration.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from cds_service.domain.binding import Strictness
from cds_service.domain.dialect import DialectName
from cds_service.domain.image_form import ImageForm
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import ALGORITHM_KEYS, DEFAULT_ALGORITHMS, Vendor
from cds_service.errors import RegistrationRefused
from cds_service.usecases.registration import Registration

Command = TypeVar("Command", bound=Callable[..., None])

REQUIRED = ("name", "fhir_base", "issuer", "jwks")
# What `change --without` takes away -> the field, which goes back to its default.
_CLEARED = {
    "jku": "jkus",
    "algorithm": "algorithms",
    "audience": "audiences",
    "tenant-claim": "tenant_claims",
    "subject": "subject",
    "client-id": "client_id",
    "archive": "archive_base",
    "other-archive": "other_archives",
    "origin": "origins",
    "app-user": "app_users",
    "reviewer": "reviewers",
    "language": "language",
}
CLEARABLE = tuple(_CLEARED)
_KINDS: dict[str, type] = {
    "binding": Strictness,
    "client_kind": ClientKind,
    "vendor": Vendor,
    "dialect": DialectName,
    "images": ImageForm,
}

# No option has a default of its own: what is not typed is the Registration's default when an EHR
# is added, and stays as it is when one is changed.
_OPTIONS = (
    click.option("--name", help="Your own name for it, such as a hospital's."),
    click.option("--fhir-base", metavar="URL", help="FHIR base; also the SMART iss."),
    click.option("--issuer", metavar="ISS", help="iss of its CDS Hooks tokens: a URI."),
    click.option("--jwks", metavar="URL-OR-FILE", help="Its tokens' public keys."),
    click.option(
        "--jku", "jkus", multiple=True, metavar="URL", help="jku header of its tokens; repeatable."
    ),
    click.option(
        "--algorithm",
        "algorithms",
        multiple=True,
        type=click.Choice(list(ALGORITHM_KEYS)),
        help=f"How its tokens are signed; repeatable (default: {', '.join(DEFAULT_ALGORITHMS)}).",
    ),
    click.option(
        "--audience",
        "audiences",
        multiple=True,
        metavar="AUD",
        help="aud that it sends instead of the address that it calls; repeatable.",
    ),
    click.option(
        "--tenant-claim",
        "tenant_claims",
        multiple=True,
        metavar="TENANT",
        help="The tenant claims of its tokens; repeatable.",
    ),
    click.option(
        "--subject", metavar="SUB", help="sub of its tokens (Epic: Sightline's client id)."
    ),
    click.option(
        "--discovery-needs-token/--public-discovery",
        default=None,
        help="Discovery only with a token (default: public).",
    ),
    click.option("--client-id", metavar="ID", help="Sightline's client id there (app, own reads)."),
    click.option(
        "--client-kind",
        type=click.Choice([kind.value for kind in ClientKind]),
        help=f"How Sightline proves there who it is (default: {ClientKind.ASYMMETRIC.value}).",
    ),
    click.option(
        "--client-secret-file",
        "client_secret",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
        help="Holds the secret of a symmetric client; - reads it from standard input.",
    ),
    click.option(
        "--archive",
        "archive_base",
        metavar="URL",
        help="DICOMweb base or dicom://OURS@THEIRS@HOST:PORT, for studies that name no endpoint.",
    ),
    click.option(
        "--other-archive",
        "other_archives",
        multiple=True,
        metavar="URL",
        help="A further archive, asked after the first; repeatable.",
    ),
    click.option(
        "--images",
        type=click.Choice([form.value for form in ImageForm]),
        help="As which DICOMweb archives are asked for images "
        f"(default: {ImageForm.AS_STORED.value}).",
    ),
    click.option(
        "--binding",
        type=click.Choice([strictness.value for strictness in Strictness]),
        help=f"What must agree between EHR and images (default: {Strictness.STANDARD.value}).",
    ),
    click.option(
        "--origin", "origins", multiple=True, metavar="URL", help="Origin of its pages; repeatable."
    ),
    click.option(
        "--vendor",
        type=click.Choice([vendor.value for vendor in Vendor]),
        help=f"Who made it (default: {Vendor.GENERIC.value}).",
    ),
    click.option(
        "--dialect",
        type=click.Choice([dialect.value for dialect in DialectName]),
        help="What its cards look like (default: the vendor's).",
    ),
    click.option(
        "--app-user",
        "app_users",
        multiple=True,
        metavar="USER",
        help="For whom the app opens: a fhirUser or its type; repeatable (default: clinicians).",
    ),
    click.option(
        "--reviewer",
        "reviewers",
        multiple=True,
        metavar="USER",
        help="Which clinicians may review, in the same form; repeatable (default: all).",
    ),
    click.option(
        "--critical-limit",
        "critical_limit_min",
        type=int,
        metavar="MINUTES",
        help="Within which a critical finding is to be acknowledged (default: 60).",
    ),
    click.option(
        "--language",
        metavar="TAG",
        help="BCP 47 tag of the language of its pages where no other is known (default: English).",
    ),
    click.option(
        "--show-drafts/--hide-drafts",
        "shows_drafts",
        default=None,
        help="Cards and report sentences in translations that nobody reviewed, labelled as such.",
    ),
    click.option(
        "--running-cards/--no-running-cards",
        "shows_running",
        default=None,
        help="A card while an analysis runs (default: yes).",
    ),
    click.option(
        "--negative-cards/--no-negative-cards",
        "shows_negative",
        default=None,
        help='A card for "found no signs" (default: no).',
    ),
    click.option(
        "--mismatch-cards/--no-mismatch-cards",
        "shows_mismatch",
        default=None,
        help="A card for images that were not this patient's (default: yes).",
    ),
    click.option(
        "--own-reads/--no-own-reads",
        "backend_services",
        default=None,
        help="Read with Sightline's own token what a hook does not bring (default: yes).",
    ),
)


def registration_options(command: Command) -> Command:
    """Give a command all options of a registration."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def fields_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Registration that were typed; raise RegistrationRefused for a file."""
    fields = {name: value for name, value in options.items() if value not in (None, ())}
    for name, kind in _KINDS.items():
        if name in fields:
            fields[name] = kind(fields[name])
    if "jwks" in fields:
        fields["jwks"] = _key_set(fields["jwks"])
    if "client_secret" in fields:
        fields["client_secret"] = secret_in(fields["client_secret"])
    return fields


def cleared(names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields behind these names of CLEARABLE, each with the default of Registration."""
    bare = Registration(name="", fhir_base="", issuer="", jwks="")
    return {_CLEARED[name]: getattr(bare, _CLEARED[name]) for name in names}


def _key_set(jwks: str) -> str:
    """Return an address as it is, and a file's text."""
    if jwks.startswith(("http://", "https://")):
        return jwks
    try:
        return Path(jwks).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RegistrationRefused(f"The JWKS {jwks!r} is no URL and no readable file.") from None


def secret_in(file: Path) -> str:
    """Read a secret from a file, so that it stands in no list of processes and no history.

    "-" is standard input. Raises RegistrationRefused.
    """
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            return str(stream.read()).strip()
    except (OSError, UnicodeDecodeError):
        raise RegistrationRefused("The file of the secret cannot be read.") from None
