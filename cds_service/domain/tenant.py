"""A tenant: one registered EHR, with the addresses and policies that its site chose.

Source: CDS Hooks 2.0 "Trusting CDS Clients"; SMART App Launch 2.2 "App registration".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from cds_service.domain.archive_address import is_dimse
from cds_service.domain.archive_credential import ArchiveCredential
from cds_service.domain.binding import Strictness
from cds_service.domain.dialect import DialectName
from cds_service.domain.image_form import ImageForm
from cds_service.domain.intake import Door
from cds_service.domain.smart_client import ClientKind

# Algorithm of a hook token -> the key that it needs: asymmetric ones only (ch2:201, 203).
ALGORITHM_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "ES256": "P-256",
        "ES384": "P-384",
        "ES512": "P-521",
        "Ed25519": "Ed25519",
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    }
)
DEFAULT_ALGORITHMS = ("ES384", "RS384")  # ch2:205
CLINICIANS = ("Practitioner", "PractitionerRole")


class Vendor(StrEnum):
    """Who made the EHR."""

    GENERIC = "generic"
    EPIC = "epic"
    ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One EHR as registered by its administrator.

    Every URL here is an address that egress may call for this tenant, and no other.
    Exactly one of `jwks_url` and `jwks` (a pinned JWK set as JSON text) is set.
    """

    id: str  # opaque; part of every key in the ledger
    name: str
    fhir_base: str  # no trailing slash; also the SMART iss
    hook_issuer: str  # iss of its CDS Hooks JWTs
    jwks_url: str | None = None
    jwks: str | None = None
    jkus: tuple[str, ...] = ()  # the jku headers accepted; none: the header is ignored
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS  # of its tokens
    audiences: tuple[str, ...] = ()  # accepted besides the address that is called
    tenant_claims: tuple[str, ...] = ()  # its tokens name one of these; none: not looked at
    subject: str | None = None  # sub of its tokens; None: not looked at
    discovery_needs_token: bool = False
    client_id: str | None = None  # ours at this EHR; None: no app launch, no Backend Services
    client_kind: ClientKind = ClientKind.ASYMMETRIC
    client_secret: bytes | None = field(default=None, repr=False)  # sealed; symmetric only
    archive_base: str | None = None  # DICOMweb or DIMSE, used when a study names none
    origins: tuple[str, ...] = ()  # of its pages: CORS and frame-ancestors
    vendor: Vendor = Vendor.GENERIC
    dialect: DialectName = DialectName.STRICT_2_0
    backend_services: bool = True  # may read with our own token when a hook brings none
    shows_running: bool = True  # "analysis running" cards
    shows_negative: bool = False  # "found no signs" cards
    shows_mismatch: bool = True  # cards about images that are not this patient's
    # Each names a type of fhirUser, or one user: "Practitioner", "PractitionerRole/7".
    app_users: tuple[str, ...] = CLINICIANS  # for whom the app opens
    reviewers: tuple[str, ...] = CLINICIANS  # who of the clinicians may review
    language: str | None = None  # of its cards, and of pages for whom no other is known: "pt"
    shows_drafts: bool = False  # cards and report sentences in translations nobody reviewed
    critical_limit_min: int = 60  # within which a critical finding is to be acknowledged
    doors: tuple[Door, ...] = ()  # that its administrator opened, in the order of Door
    binding: Strictness = Strictness.STANDARD  # what must agree between EHR and images
    other_archives: tuple[str, ...] = ()  # for studies that are not in the first
    images: ImageForm = ImageForm.AS_STORED  # as which DICOMweb archives are asked for them
    change_feed: str | None = None  # base of its archive's change feed (Orthanc's REST API, Azure)
    # At most one for each base; an archive without one is sent Sightline's token of the EHR.
    archive_credentials: tuple[ArchiveCredential, ...] = ()

    def __post_init__(self) -> None:
        if (self.jwks_url is None) == (self.jwks is None):
            raise ValueError("a tenant has either a JWKS address or a pinned JWK set")
        if not self.algorithms or not ALGORITHM_KEYS.keys() >= set(self.algorithms):
            raise ValueError("a tenant's tokens are signed with asymmetric algorithms")
        if (self.client_kind is ClientKind.SYMMETRIC) != (self.client_secret is not None):
            raise ValueError("a symmetric client has a secret, and no other has")
        if self.critical_limit_min < 1:
            raise ValueError("a critical finding is to be acknowledged within a minute or more")

    @property
    def archives(self) -> tuple[str, ...]:
        """Every registered archive, in the order in which they are asked."""
        return tuple(one for one in (self.archive_base, *self.other_archives) if one)

    @property
    def web_archives(self) -> tuple[str, ...]:
        """Those that speak DICOMweb."""
        return tuple(one for one in self.archives if not is_dimse(one))

    @property
    def dimse_archives(self) -> tuple[str, ...]:
        """Those that speak DIMSE."""
        return tuple(one for one in self.archives if is_dimse(one))

    @property
    def asked_bases(self) -> tuple[str, ...]:
        """What an archive's credentials can be for: its DICOMweb bases, and its change feed."""
        return tuple(one for one in (*self.web_archives, self.change_feed) if one)

    @property
    def credentials_in_use(self) -> tuple[ArchiveCredential, ...]:
        """Those whose archive is still registered."""
        return tuple(one for one in self.archive_credentials if one.base in self.asked_bases)

    @property
    def has_backend_client(self) -> bool:
        """Whether Sightline may ask for tokens of its own: they need a signed assertion."""
        return self.client_id is not None and self.client_kind is ClientKind.ASYMMETRIC

    @property
    def has_imaging_studies(self) -> bool:
        """Whether its FHIR server may have ImagingStudy; Oracle Health's knows no such type."""
        return self.vendor is not Vendor.ORACLE

    @property
    def names_roles(self) -> bool:
        """Whether a rule may hold of a Practitioner by their roles only, which are then read."""
        rules = (self.app_users, self.reviewers)
        return any(
            CLINICIANS[0] not in rule and any(one.startswith(CLINICIANS[1]) for one in rule)
            for rule in rules
        )

    def opens_app_for(self, user: str | None, roles: tuple[str, ...] = ()) -> bool:
        """Tell whether the app opens for this fhirUser ("Practitioner/1"; None: not named).

        roles   "PractitionerRole/7": what is known of the user's roles
        """
        return _is_named(user, roles, self.app_users)

    def lets_review(self, user: str | None, roles: tuple[str, ...] = ()) -> bool:
        """Tell whether this site's rule lets this fhirUser, with these roles, review findings."""
        return _is_named(user, (), CLINICIANS) and _is_named(user, roles, self.reviewers)

    def opened(self, door: Door) -> bool:
        """Tell whether studies may come in here."""
        return door in self.doors

    def shares_issuer_with(self, other: "Tenant") -> bool:
        """Tell whether both may have one issuer: their tokens name different tenants.

        Oracle Health signs for all of its sites with one issuer.
        """
        claims = (set(self.tenant_claims), set(other.tenant_claims))
        return all(claims) and claims[0].isdisjoint(claims[1])


def _is_named(user: str | None, roles: tuple[str, ...], rule: tuple[str, ...]) -> bool:
    if user is None:
        return False
    names = {part for name in (user, *roles) for part in (name, name.partition("/")[0])}
    return not names.isdisjoint(rule)
