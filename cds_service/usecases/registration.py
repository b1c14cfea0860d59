"""What an administrator says about an EHR, checked field by field.

Source: CDS Hooks 2.0 "Trusting CDS Clients"; SMART App Launch 2.2 "App registration";
RFC 7517 (JWK sets); RFC 7519 2 (an issuer is any URI); RFC 3986 3 (URI); RFC 6454 (origins).
"""

import json
import re
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cds_service.domain.archive_address import dimse_address, is_dimse
from cds_service.domain.binding import Strictness
from cds_service.domain.dialect import DialectName
from cds_service.domain.image_form import ImageForm
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import (
    ALGORITHM_KEYS,
    CLINICIANS,
    DEFAULT_ALGORITHMS,
    Tenant,
    Vendor,
)
from cds_service.domain.vocabulary import LANGUAGE_TAGS
from cds_service.errors import RegistrationRefused

NAME_LIMIT = 100  # characters; it stands in lists and log lines
CLAIM_LIMIT = 256  # characters of an issuer, an audience, a tenant claim or a subject
MINUTES_LIMIT = 7 * 24 * 60
PUBLIC_KINDS = {"EC", "RSA", "OKP"}
_DIALECTS = {
    Vendor.GENERIC: DialectName.STRICT_2_0,
    Vendor.EPIC: DialectName.EPIC,
    Vendor.ORACLE: DialectName.ORACLE,
}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")  # a scheme and what it names, no blanks
_USER = re.compile(
    r"(?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)(?:/[A-Za-z0-9\-.]{1,64})?"
)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+")


@dataclass(frozen=True, slots=True)
class Registration:
    """What an administrator says about an EHR; the fields are those of `sightline ehr add`."""

    name: str
    fhir_base: str
    issuer: str  # iss of its hook JWTs
    jwks: str  # an address, or the key set itself as JSON text
    jkus: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()  # none: the recommended ones
    audiences: tuple[str, ...] = ()
    tenant_claims: tuple[str, ...] = ()
    subject: str | None = None
    discovery_needs_token: bool = False
    client_id: str | None = None
    client_kind: ClientKind = ClientKind.ASYMMETRIC
    client_secret: str | None = field(default=None, repr=False)
    archive_base: str | None = None
    other_archives: tuple[str, ...] = ()
    images: ImageForm = ImageForm.AS_STORED
    binding: Strictness = Strictness.STANDARD
    origins: tuple[str, ...] = ()
    vendor: Vendor = Vendor.GENERIC
    dialect: DialectName | None = None  # None: the vendor's
    app_users: tuple[str, ...] = ()  # none: clinicians
    reviewers: tuple[str, ...] = ()  # none: clinicians
    critical_limit_min: int = 60
    language: str | None = None  # BCP 47; None: English
    shows_drafts: bool = False
    shows_running: bool = True
    shows_negative: bool = False
    shows_mismatch: bool = True
    backend_services: bool = True


def described(registration: Registration) -> dict[str, Any]:
    """Return the fields of the Tenant that this makes, all but `id` and `client_secret`.

    Raises RegistrationRefused with a sentence naming the field.
    """
    jwks = registration.jwks
    is_address = not jwks.lstrip().startswith("{")
    archive = registration.archive_base
    return dict(
        name=_name(registration.name),
        fhir_base=_base("FHIR base", registration.fhir_base),
        # Issuer, JWKS address and jku are compared as exact texts, so nothing is trimmed.
        hook_issuer=_issuer(registration.issuer),
        jwks_url=checked_address("JWKS", jwks) if is_address else None,
        jwks=None if is_address else _key_set(jwks.strip()),
        jkus=tuple(dict.fromkeys(checked_address("jku", jku) for jku in registration.jkus)),
        algorithms=_algorithms(registration.algorithms),
        audiences=_claims("audience", registration.audiences),
        tenant_claims=_claims("tenant claim", registration.tenant_claims),
        subject=_subject(registration.subject),
        discovery_needs_token=registration.discovery_needs_token,
        client_id=registration.client_id or None,
        client_kind=registration.client_kind,
        archive_base=_archive(archive) if archive else None,
        other_archives=tuple(
            dict.fromkeys(_archive(other) for other in registration.other_archives)
        ),
        images=registration.images,
        binding=registration.binding,
        origins=tuple(dict.fromkeys(_origin(origin) for origin in registration.origins)),
        vendor=registration.vendor,
        dialect=registration.dialect or _DIALECTS[registration.vendor],
        app_users=_users("app user", registration.app_users),
        reviewers=_users("reviewer", registration.reviewers),
        critical_limit_min=_minutes(registration.critical_limit_min),
        language=_language(registration.language),
        shows_drafts=registration.shows_drafts,
        shows_running=registration.shows_running,
        shows_negative=registration.shows_negative,
        shows_mismatch=registration.shows_mismatch,
        backend_services=registration.backend_services,
    )


def registration_of(tenant: Tenant) -> Registration:
    """Return what makes this tenant, except the client's secret, which stays sealed."""
    jwks = tenant.jwks_url if tenant.jwks is None else tenant.jwks
    said = {
        known.name: getattr(tenant, known.name)
        for known in fields(Registration)
        if known.name not in {"issuer", "jwks", "client_secret"}
    }
    return Registration(issuer=tenant.hook_issuer, jwks=str(jwks), **said)


def client_secret(registration: Registration, *, has_one: bool = False) -> str | None:
    """Return the secret that was given; raise RegistrationRefused where the kind forbids it.

    has_one   a secret of this client is kept already
    """
    kind, secret = registration.client_kind, registration.client_secret
    if kind is not ClientKind.ASYMMETRIC and not registration.client_id:
        raise RegistrationRefused(f"A {kind.value} client needs the client id.")
    if kind is ClientKind.SYMMETRIC and not (secret or (has_one and secret is None)):
        raise RegistrationRefused("A symmetric client needs the client secret.")
    if kind is not ClientKind.SYMMETRIC and secret is not None:
        raise RegistrationRefused(f"A client secret is for a symmetric client, not {kind.value}.")
    if secret is not None and not (secret.isascii() and secret.isprintable()):
        raise RegistrationRefused("The client secret must be printable ASCII.")
    return secret


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise RegistrationRefused(f"The name must be 1 to {NAME_LIMIT} printable characters.")
    return name


def _issuer(text: str) -> str:
    """Keep an issuer letter by letter: it is compared, never called, so any URI will do."""
    if len(text) > CLAIM_LIMIT or not _URI.fullmatch(text):
        raise RegistrationRefused(
            f"The issuer must be a URI, such as https://... or urn:..., of at most {CLAIM_LIMIT} "
            "characters."
        )
    return text


def _algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in ALGORITHM_KEYS:
            known = ", ".join(ALGORITHM_KEYS)
            raise RegistrationRefused(f"The algorithm must be asymmetric, one of {known}.")
    return tuple(dict.fromkeys(names)) or DEFAULT_ALGORITHMS


def _claims(field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Keep what a token must say, letter by letter."""
    for text in texts:
        # Empty is a mistake, such as an unset shell variable: taking it as "not given" would drop
        # the check that was asked for.
        if not 1 <= len(text) <= CLAIM_LIMIT or not text.isprintable():
            raise RegistrationRefused(
                f"The {field} must be 1 to {CLAIM_LIMIT} printable characters, or be left out."
            )
    return tuple(dict.fromkeys(texts))


def _subject(text: str | None) -> str | None:
    return None if text is None else _claims("subject", (text,))[0]


def _users(field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Keep types of users, and single ones, as an id_token's fhirUser names them."""
    for text in texts:
        if text and not _USER.fullmatch(text):
            raise RegistrationRefused(
                f'The {field} must be a type of user or one of them, such as "Practitioner" or '
                '"PractitionerRole/7".'
            )
    return tuple(dict.fromkeys(text for text in texts if text)) or CLINICIANS


def _language(tag: str | None) -> str | None:
    if tag and tag not in LANGUAGE_TAGS:
        raise RegistrationRefused(f"The language must be one of {', '.join(LANGUAGE_TAGS)}.")
    return tag or None


def _minutes(limit: int) -> int:
    if not 1 <= limit <= MINUTES_LIMIT:
        raise RegistrationRefused(
            f"The limit for critical findings must be 1 to {MINUTES_LIMIT} minutes."
        )
    return limit


def checked_address(field: str, text: str) -> str:
    """Return an absolute http(s) address as it is; raise RegistrationRefused naming the field."""
    _split(field, text)
    return text


def _base(field: str, text: str) -> str:
    if _split(field, text).query:
        raise RegistrationRefused(f"The {field} address must not have a query.")
    return text.rstrip("?").rstrip("/")


def _archive(text: str) -> str:
    if not is_dimse(text):
        return _base("archive", text)
    try:
        dimse_address(text)
    except ValueError:
        raise RegistrationRefused(
            "The archive address must be dicom://OURS@THEIRS@HOST:PORT, with two AE titles of 1 "
            "to 16 letters, digits, dots, dashes or underscores; dicoms:// for TLS."
        ) from None
    return text


def _origin(text: str) -> str:
    parts = _split("origin", text)
    if parts.path.strip("/") or parts.query:
        raise RegistrationRefused("An origin is scheme, host and port only, without a path.")
    place = f"{parts.scheme}://{parts.netloc}".lower()
    # As a browser writes it, without the scheme's own port (RFC 6454, 6.2).
    is_usual = parts.port == {"http": 80, "https": 443}[parts.scheme]
    return place.removesuffix(f":{parts.port}") if is_usual else place


def _split(field: str, text: str) -> SplitResult:
    """Parse an absolute http(s) address and refuse everything that parsers disagree about."""
    refused = RegistrationRefused(
        f"The {field} must be an absolute http or https address without user name or fragment."
    )
    if not text.isascii() or any(character <= " " for character in text) or "\\" in text:
        raise refused  # urlsplit would silently drop tabs and line ends
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise refused from None
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc or "#" in text:
        raise refused
    if host is None or not _HOST.fullmatch(host):
        raise refused
    return parts


def _key_set(text: str) -> str:
    """Check a pinned key set: public keys of asymmetric algorithms only."""
    try:
        keys = json.loads(text)["keys"]
        kinds = [(str(key["kty"]), "d" in key) for key in keys]
        is_named = any(key.get("kid") and isinstance(key["kid"], str) for key in keys)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RegistrationRefused("The JWKS is neither an address nor a JWK set.") from None
    if not kinds:
        raise RegistrationRefused("The JWKS has no key.")
    if any(kind not in PUBLIC_KINDS or is_private for kind, is_private in kinds):
        raise RegistrationRefused("The JWKS must hold public EC, RSA or OKP keys and no others.")
    if not is_named:
        raise RegistrationRefused("The JWKS must name its keys by a kid, as tokens do.")
    return text
