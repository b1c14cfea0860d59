"""What an archive is sent so that it lets us in: its own credentials, over real HTTP.

Source: RFC 7617, RFC 6750, RFC 6749 4.4; threat T7.
"""

from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, TypeVar
from urllib.parse import unquote_plus

import pytest
from flask import Flask, Response, request

from cds_service.adapters.archive import DicomWebArchive
from cds_service.adapters.archive_auth import ArchiveAuth, credential_for
from cds_service.adapters.archive_json import ArchiveJson
from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.egress import Egress
from cds_service.adapters.vault import Vault
from cds_service.domain.archive_credential import AccessKind, ArchiveCredential
from cds_service.domain.tenant import Tenant
from cds_service.errors import ArchiveFailed, ArchiveRefused, EndpointNotAllowed, UpstreamFailed
from cds_service.usecases.archive_credentials import (
    Access,
    open_archive_credential,
    set_archive_credential,
)
from cds_service.usecases.ports import Budget
from tests.builders import NOW, a_study, a_tenant
from tests.fakes.ledger import FakeAuditLog, FakeTenants
from tests.web_app.house import listening

SECRET = "p4ss: wörd, longer than any test"
VAULT = Vault(b"k" * 32)
AT = "/dicom-web"


@dataclass
class GuardedArchive:
    """An archive that notes what it is shown, and lets in who shows what it `accepts`."""

    accepts: set[str | None] = field(default_factory=set)
    shown: list[str | None] = field(default_factory=list)
    refuses_with: int = 401
    moved_to: str = ""
    origin: str = ""

    def app(self) -> Flask:
        app = Flask("archive")
        app.get("/<path:path>")(self.answer)
        return app

    def answer(self, path: str) -> Response:
        self.shown.append(request.headers.get("Authorization"))
        if self.moved_to:
            return Response(status=302, headers={"Location": self.moved_to})
        status = 200 if self.shown[-1] in self.accepts else self.refuses_with
        return Response("[]", status, content_type="application/dicom+json")


@dataclass
class TokenEndpoint:
    """A token endpoint that takes a client's secret in the header, or in the body only."""

    client: tuple[str, str] = ("client-1", SECRET)
    reads_header: bool = True
    life_s: object = 3600
    status: int = 200
    token: object = "t-{}"  # with its number
    may_answer: Event = field(default_factory=Event)
    asked: list[dict[str, str]] = field(default_factory=list)
    origin: str = ""

    def app(self) -> Flask:
        self.may_answer.set()
        app = Flask("token endpoint")
        app.post("/token")(self.answer)
        return app

    def answer(self) -> Response | tuple[dict[str, Any], int]:
        self.may_answer.wait(60)
        self.asked.append(dict(request.form))
        if self.status != 200:
            return {"error": "invalid_client"}, self.status
        if self._client() != self.client:
            return {"error": "invalid_client"}, 401
        token = self.token.format(len(self.asked)) if isinstance(self.token, str) else self.token
        return {"access_token": token, "expires_in": self.life_s, "token_type": "Bearer"}, 200

    def _client(self) -> tuple[str, str]:
        if not self.reads_header:
            return request.form.get("client_id", ""), request.form.get("client_secret", "")
        pair = b64decode(request.headers.get("Authorization", "").removeprefix("Basic "))
        client_id, _, secret = pair.decode().partition(":")
        return unquote_plus(client_id), unquote_plus(secret)


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


Served = TypeVar("Served", GuardedArchive, TokenEndpoint)


@contextmanager
def served(server: Served) -> Iterator[Served]:
    with listening(server.app()) as port:
        server.origin = f"http://127.0.0.1:{port}"
        yield server


@pytest.fixture
def archive() -> Iterator[GuardedArchive]:
    with served(GuardedArchive()) as server:
        yield server


@pytest.fixture
def other() -> Iterator[GuardedArchive]:
    with served(GuardedArchive()) as server:
        yield server


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with served(TokenEndpoint()) as server:
        yield server


class EhrTokens(BackendTokens):
    """The EHR's tokens, of an EHR that need not be there."""

    def __init__(self) -> None:
        self.asked = 0

    def auth(self, tenant: Tenant, *, timeout_s: float = 0) -> None:
        self.asked += 1


def credited(tenant: Tenant, base: str, access: Access) -> Tenant:
    tenants = FakeTenants(tenant)
    set_archive_credential(
        tenant,
        base,
        access,
        register=tenants,
        vault=VAULT,
        is_inside=Egress().is_inside,
        audit=FakeAuditLog(),
        clock=lambda: NOW,
    )
    return tenants.get(tenant.id)


def basic(name: str = "sightline") -> Access:
    return Access(AccessKind.BASIC, SECRET, name)


def by_client(endpoint: TokenEndpoint, scope: str = "") -> Access:
    url = f"{endpoint.origin}/token"
    return Access(AccessKind.CLIENT_CREDENTIALS, SECRET, "client-1", url, scope)


def at(archive: GuardedArchive, access: Access) -> Tenant:
    base = archive.origin + AT
    return credited(a_tenant(archive_base=base), base, access)


def an_auth(clock: Callable[[], float] | None = None) -> ArchiveAuth:
    open_secret = partial(open_archive_credential, vault=VAULT)
    return ArchiveAuth(Egress(), open_secret, EhrTokens(), clock or Clock())


def ask(tenant: Tenant, auth: ArchiveAuth | None = None, timeout_s: float = 60) -> object:
    """Ask the first archive for its studies."""
    session_for = Egress().session_for
    reader = ArchiveJson(session_for, auth or an_auth(), timeout_s=timeout_s)
    return reader.get(tenant, f"{tenant.web_archives[0]}/studies")


# --- what is sent ----------------------------------------------------------------------------


def test_a_user_and_a_password_are_sent_in_utf_8(archive: GuardedArchive) -> None:
    archive.accepts = {None}

    with pytest.raises(ArchiveRefused):
        ask(at(archive, basic("jürgen")))

    [shown] = archive.shown
    assert shown is not None
    assert b64decode(shown.removeprefix("Basic ")).decode() == f"jürgen:{SECRET}"


def test_a_fixed_token_is_sent_as_it_is(archive: GuardedArchive) -> None:
    archive.accepts = {"Bearer abc.DEF-1"}

    assert ask(at(archive, Access(AccessKind.BEARER, "abc.DEF-1"))) == []


def test_a_token_is_asked_for_with_scope_and_sent(
    archive: GuardedArchive, endpoint: TokenEndpoint
) -> None:
    archive.accepts = {"Bearer t-1"}
    scope = "https://dicom.healthcareapis.azure.com/.default"

    assert ask(at(archive, by_client(endpoint, scope))) == []

    assert endpoint.asked == [{"grant_type": "client_credentials", "scope": scope}]


def test_an_endpoint_that_reads_no_header_is_told_in_the_body(
    archive: GuardedArchive, endpoint: TokenEndpoint
) -> None:
    archive.accepts = {"Bearer t-2"}
    endpoint.reads_header = False

    assert ask(at(archive, by_client(endpoint))) == []

    assert endpoint.asked[1]["client_secret"] == SECRET


def test_images_are_fetched_with_them_too(archive: GuardedArchive) -> None:
    tenant = at(archive, Access(AccessKind.BEARER, "abc"))
    images = DicomWebArchive(Egress().session_for, an_auth())

    with pytest.raises(ArchiveRefused, match="sightline archive credential"):
        list(images.instances(tenant, a_study(), Budget()))

    assert archive.shown == ["Bearer abc"]


# --- to whom ---------------------------------------------------------------------------------


def test_an_archive_with_its_own_is_not_shown_the_token_of_the_ehr(archive: GuardedArchive) -> None:
    ehr = EhrTokens()
    auth = ArchiveAuth(Egress(), partial(open_archive_credential, vault=VAULT), ehr)

    auth(at(archive, basic()), f"{archive.origin}{AT}/studies")
    assert ehr.asked == 0

    auth(a_tenant(archive_base=archive.origin), f"{archive.origin}/studies")
    assert ehr.asked == 1


def test_several_archives_have_each_their_own(
    archive: GuardedArchive, other: GuardedArchive
) -> None:
    first, second = archive.origin + AT, other.origin + AT
    tenant = a_tenant(archive_base=first, other_archives=(second,))
    tenant = credited(tenant, first, Access(AccessKind.BEARER, "one"))
    tenant = credited(tenant, second, Access(AccessKind.BEARER, "two"))
    reader = ArchiveJson(Egress().session_for, an_auth())

    for base in (first, second):
        with pytest.raises(ArchiveRefused):
            reader.get(tenant, f"{base}/studies")

    assert (archive.shown, other.shown) == (["Bearer one"], ["Bearer two"])


def test_a_redirect_takes_them_nowhere(archive: GuardedArchive, other: GuardedArchive) -> None:
    archive.moved_to = f"{other.origin}/dicom-web/studies"
    base = archive.origin + AT
    tenant = a_tenant(archive_base=base, other_archives=(other.origin + AT,))

    with pytest.raises(ArchiveFailed):
        ask(credited(tenant, base, basic()))

    assert other.shown == []


def test_an_address_that_the_ehr_names_elsewhere_is_not_sent_them(
    archive: GuardedArchive, other: GuardedArchive
) -> None:
    tenant = at(archive, basic())
    study = a_study(archive_url=other.origin + AT)
    images = DicomWebArchive(Egress().session_for, an_auth())

    with pytest.raises(ArchiveRefused):
        list(images.instances(tenant, study, Budget()))

    assert other.shown == [] and len(archive.shown) == 1


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://pacs.example.org/a/studies", "https://pacs.example.org/a"),
        ("https://PACS.example.org:443/a/studies", "https://pacs.example.org/a/b"),
        ("https://pacs.example.org/a/b/studies", "https://pacs.example.org/a/b"),
        ("https://pacs.example.org/a/bc/studies", "https://pacs.example.org/a"),
        ("https://pacs.example.org/changes", "https://pacs.example.org/a/b"),
        ("http://pacs.example.org/a/studies", None),
        ("https://pacs.example.org:8443/a/studies", None),
        ("https://pacs.example.org.evil.example/a/studies", None),
    ],
)
def test_an_address_has_those_of_its_base_else_of_its_origin(url: str, base: str | None) -> None:
    first, second = "https://pacs.example.org/a", "https://pacs.example.org/a/b"
    bases = (first, second)
    tenant = a_tenant(
        archive_base=first,
        other_archives=(second,),
        archive_credentials=tuple(ArchiveCredential(one, AccessKind.BEARER, b"") for one in bases),
    )

    found = credential_for(tenant, url)

    assert (found and found.base) == base


def test_those_of_an_archive_that_is_registered_no_more_are_not_sent() -> None:
    gone = ArchiveCredential("https://pacs.example.org/a", AccessKind.BEARER, b"")
    tenant = a_tenant(archive_base="https://pacs.example.org/b", archive_credentials=(gone,))

    assert credential_for(tenant, "https://pacs.example.org/b/studies") is None


def test_a_secret_that_was_moved_to_another_address_does_not_open(
    archive: GuardedArchive, other: GuardedArchive
) -> None:
    [kept] = at(archive, basic()).archive_credentials
    moved = ArchiveCredential(other.origin, kept.kind, kept.sealed, kept.name)
    tenant = a_tenant(archive_base=other.origin, archive_credentials=(moved,))

    with pytest.raises(ArchiveRefused, match="set them again"):
        ask(tenant)

    assert other.shown == []


# --- tokens ----------------------------------------------------------------------------------


def test_a_token_is_kept_until_shortly_before_it_ends(
    archive: GuardedArchive, endpoint: TokenEndpoint
) -> None:
    clock = Clock()
    auth, tenant = an_auth(clock), at(archive, by_client(endpoint))
    archive.accepts = {"Bearer t-1", "Bearer t-2"}

    for clock.now in (0, 3500, 3600):
        ask(tenant, auth)

    assert archive.shown == ["Bearer t-1", "Bearer t-1", "Bearer t-2"]


@pytest.mark.parametrize("life", ["3600", None, "soon", -1, "inf", "nan"])
def test_a_life_that_is_no_number_of_seconds_is_a_short_one_or_read(
    archive: GuardedArchive, endpoint: TokenEndpoint, life: object
) -> None:
    clock = Clock()
    auth, tenant = an_auth(clock), at(archive, by_client(endpoint))
    endpoint.life_s = life
    archive.accepts = {"Bearer t-1", "Bearer t-2"}

    for clock.now in (0, 60, 1000):
        ask(tenant, auth)

    assert len(endpoint.asked) == (1 if life == "3600" else 2)


def test_many_who_wait_ask_once(archive: GuardedArchive, endpoint: TokenEndpoint) -> None:
    auth, tenant = an_auth(), at(archive, by_client(endpoint))
    archive.accepts = {"Bearer t-1"}
    endpoint.may_answer.clear()

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, tenant, auth) for _ in range(8)]
        endpoint.may_answer.set()
        answers = [one.result() for one in asking]

    assert answers == [[]] * 8 and len(endpoint.asked) == 1


def test_a_revoked_token_is_renewed_once(archive: GuardedArchive, endpoint: TokenEndpoint) -> None:
    auth, tenant = an_auth(), at(archive, by_client(endpoint))
    archive.accepts = {"Bearer t-1"}
    ask(tenant, auth)

    archive.accepts = {"Bearer t-2"}
    assert ask(tenant, auth) == []

    archive.accepts = set()
    with pytest.raises(ArchiveRefused):
        ask(tenant, auth)
    assert archive.shown[1:3] == ["Bearer t-1", "Bearer t-2"] and len(endpoint.asked) == 3


def test_who_has_little_time_does_not_wait_for_a_token_and_the_next_one_has_it(
    archive: GuardedArchive, endpoint: TokenEndpoint
) -> None:
    auth, tenant = an_auth(), at(archive, by_client(endpoint))
    archive.accepts = {"Bearer t-1"}
    endpoint.may_answer.clear()

    with pytest.raises(ArchiveFailed, match="no answer in time"):
        ask(tenant, auth, timeout_s=0.01)
    endpoint.may_answer.set()

    assert ask(tenant, auth) == [] and len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(401, ArchiveRefused), (403, ArchiveRefused), (503, ArchiveFailed)]
)
def test_a_token_endpoint_that_gives_none_is_the_archive_s_failure(
    archive: GuardedArchive, endpoint: TokenEndpoint, status: int, error: type[UpstreamFailed]
) -> None:
    endpoint.status = status

    with pytest.raises(error, match="archive's token endpoint") as raised:
        ask(at(archive, by_client(endpoint)))

    assert archive.shown == []
    told = f"{raised.value!r} {raised.value.__cause__!r}"
    assert SECRET not in told and "client-1" not in told


@pytest.mark.parametrize("token", ["", "a\nb", "t\u00f6ken", "\u2603", 7, None])
def test_what_no_header_can_carry_is_no_token(
    archive: GuardedArchive, endpoint: TokenEndpoint, token: object
) -> None:
    endpoint.token = token

    with pytest.raises(ArchiveRefused, match="without a token"):
        ask(at(archive, by_client(endpoint)))

    assert archive.shown == []


def test_a_token_endpoint_is_reached_only_while_it_is_registered(
    archive: GuardedArchive, endpoint: TokenEndpoint
) -> None:
    tenant = at(archive, by_client(endpoint))
    session = Egress().session_for(tenant)
    assert session.post(f"{endpoint.origin}/token").status_code == 401

    with pytest.raises(EndpointNotAllowed):
        Egress().session_for(a_tenant()).post(f"{endpoint.origin}/token")


# --- what is told ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_what_to_do_and_no_secret(archive: GuardedArchive, status: int) -> None:
    archive.refuses_with = status

    with pytest.raises(ArchiveRefused, match=f"HTTP {status}.*register its credentials") as raised:
        ask(at(archive, basic()))

    assert SECRET not in str(raised.value)


def test_a_credential_shows_nothing_when_it_is_printed(archive: GuardedArchive) -> None:
    tenant = at(archive, basic())

    [kept] = tenant.archive_credentials
    printed = f"{tenant!r} {kept!r} {basic()!r}"
    assert SECRET not in printed and repr(kept.sealed) not in printed
    assert SECRET.encode() not in kept.sealed
