"""The egress door (threat T7): what a registration names is reached, nothing else is dialled."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from cds_service.adapters.egress import Egress, origin_of, same_origin
from cds_service.domain.archive_credential import AccessKind, ArchiveCredential
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrTimedOut, EndpointNotAllowed
from tests.builders import a_tenant
from tests.unit.egress.servers import a_server

HOSTILE = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/",
    "http://[fe80::1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://127.0.0.1/",
    "https://127.0.0.1/",
    "http://127.0.0.1:6379/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::1]:6379/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost.localdomain/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://[fd00::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://192.0.2.1/",
    "https://evil.example/",
    "https://ehr.example.org.evil.example/fhir",
    "https://evil.example/ehr.example.org",
    "https://evil.example#ehr.example.org",
    "https://evil.example?ehr.example.org",
    "https://ehr.example.org@evil.example/fhir",
    "https://ehr.example.org:443@evil.example/fhir",
    "https://ehr.example.org%40evil.example/fhir",
    "https://user:secret@ehr.example.org/fhir",
    "https://evil.example\\@ehr.example.org/",
    "https://evil.example\\.ehr.example.org/",
    "https://ehr.example.org\t.evil.example/",
    "https://ehr.example.org\n.evil.example/",
    "https://ehr.example.org%00.evil.example/",
    "https://ehr.example.org:8443/fhir",
    "https://ehr.example.org:80/fhir",
    "http://ehr.example.org/fhir",
    "http://ehr.example.org:443/fhir",
    "https://ehr.example.orgg/fhir",
    "https://xehr.example.org/fhir",
    "https://sub.ehr.example.org/fhir",
    "https://еhr.example.org/fhir",  # noqa: RUF001  a Cyrillic letter, on purpose
    "https:///fhir",
    "https:ehr.example.org/fhir",
    "//ehr.example.org/fhir",
    "ftp://ehr.example.org/fhir",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "data:application/json,{}",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "dict://127.0.0.1:6379/INFO",
    "",
    "https://",
]
PUBLIC_HTTPS = re.compile(r"https://.*example")  # what `also` is for
REFUSALS = (
    EndpointNotAllowed,
    requests.exceptions.InvalidURL,  # requests itself could not read it
    requests.exceptions.MissingSchema,
)


@contextmanager
def no_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Count every attempt to dial or to look a name up."""
    attempts: list[Any] = []

    def spy(*args: Any) -> None:
        attempts.append(args[-1])
        raise AssertionError("a connection was attempted")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", spy)
        patch.setattr(socket.socket, "connect_ex", spy)
        yield attempts


def resolving(table: dict[str, list[str]]) -> Any:
    """Make a name server that knows these names."""

    def resolve(host: str, port: int, *_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in table[host]]

    return resolve


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_address_is_refused_without_a_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    egress = Egress(on_refused=lambda _tenant, origin: refused.append(origin))
    tenant = a_tenant(fhir_base="https://ehr.example.org/fhir", archive_base=None)
    session = egress.session_for(tenant)

    with no_connection(monkeypatch) as attempts, pytest.raises(REFUSALS):
        session.get(url)

    assert attempts == []


@pytest.mark.parametrize("url", [url for url in HOSTILE if not PUBLIC_HTTPS.match(url)])
def test_a_hostile_address_is_no_better_when_a_resource_named_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = a_tenant(fhir_base="https://ehr.example.org/fhir", archive_base=None)
    session = Egress().session_for(tenant, also=(url,))

    with no_connection(monkeypatch) as attempts, pytest.raises(REFUSALS):
        session.get(url)

    assert attempts == []


def test_a_refused_address_is_reported_for_the_audit_log() -> None:
    refused: list[tuple[str, str]] = []
    egress = Egress(on_refused=lambda tenant, origin: refused.append((tenant.id, origin)))

    with pytest.raises(EndpointNotAllowed):
        egress.session_for(a_tenant()).get("http://169.254.169.254/latest/meta-data?token=x")

    assert refused == [("t-1", "http://169.254.169.254:80")]


def test_a_name_that_moves_to_loopback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = a_tenant(fhir_base="https://ehr.example.org/fhir", archive_base=None)
    egress = Egress(resolve=resolving({"ehr.example.org": ["127.0.0.1"]}))

    with no_connection(monkeypatch) as attempts, pytest.raises(EndpointNotAllowed):
        egress.session_for(tenant).get("https://ehr.example.org/fhir/metadata")

    assert attempts == []


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "224.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
)
def test_no_registered_name_leads_to_metadata_or_loopback(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = a_tenant(fhir_base="http://ehr.example.org/fhir", archive_base=None)
    egress = Egress(resolve=resolving({"ehr.example.org": ["8.8.8.8", address]}))

    with no_connection(monkeypatch) as attempts, pytest.raises(EndpointNotAllowed):
        egress.session_for(tenant).get("http://ehr.example.org/fhir/metadata")

    assert attempts == []


def test_a_discovered_name_may_not_be_private(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = a_tenant(fhir_base="https://ehr.example.org/fhir", archive_base=None)
    egress = Egress(resolve=resolving({"auth.example.org": ["10.1.2.3"]}))
    session = egress.session_for(tenant, also=("https://auth.example.org/token",))

    with no_connection(monkeypatch) as attempts, pytest.raises(EndpointNotAllowed):
        session.get("https://auth.example.org/token")

    assert attempts == []


def with_a_password(base: str, token_url: str | None = None) -> Tenant:
    kind = AccessKind.CLIENT_CREDENTIALS if token_url else AccessKind.BASIC
    credential = ArchiveCredential(base, kind, b"sealed", "user", token_url)
    return a_tenant(archive_base=base, archive_credentials=(credential,))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_name_that_moves_to_the_internet_gets_no_password_in_the_clear(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    refused: list[str] = []
    clear = "http://pacs.example.org/dicom-web"
    names = resolving({"pacs.example.org": [address]})
    egress = Egress(on_refused=lambda _, origin: refused.append(origin), resolve=names)

    assert not egress.is_inside(clear)
    with (
        no_connection(monkeypatch) as attempts,
        pytest.raises(EndpointNotAllowed, match="in the clear"),
    ):
        egress.session_for(with_a_password(clear)).get(f"{clear}/studies")

    assert refused == ["http://pacs.example.org:80"] and attempts == []


def test_nor_does_a_token_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    token_url = "http://login.example.org/token"
    egress = Egress(resolve=resolving({"login.example.org": ["8.8.8.8"]}))
    tenant = with_a_password("https://pacs.example.org/dicom-web", token_url)

    with (
        no_connection(monkeypatch) as attempts,
        pytest.raises(EndpointNotAllowed, match="in the clear"),
    ):
        egress.session_for(tenant).post(token_url)

    assert attempts == []


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "fd00::1", "100.64.0.1"])
def test_a_private_address_is_inside(address: str) -> None:
    egress = Egress(resolve=resolving({"pacs": [address]}))

    assert egress.is_inside("http://pacs:8042/dicom-web")


def test_a_name_that_is_not_known_here_is_left_to_each_connection() -> None:
    def unknown(*_: Any) -> list[Any]:
        raise socket.gaierror("not known")

    assert Egress(resolve=unknown).is_inside("http://pacs:8042/dicom-web")


def test_one_address_outside_is_enough_to_be_outside() -> None:
    egress = Egress(resolve=resolving({"pacs": ["10.1.2.3", "8.8.8.8"]}))

    assert not egress.is_inside("http://pacs:8042/dicom-web")


def test_the_address_that_was_checked_is_the_one_that_is_dialled() -> None:
    with a_server() as server:
        asked: list[str] = []

        def rebinding(host: str, port: int, *_: Any) -> list[Any]:
            asked.append(host)  # a second look-up would lead elsewhere
            ip = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

        base = f"http://ehr.localhost:{server.port}"
        session = Egress(resolve=rebinding).session_for(a_tenant(fhir_base=f"{base}/fhir"))

        answer = session.get(f"{base}/host")

    assert answer.text == f"ehr.localhost:{server.port}" and asked == ["ehr.localhost"]


def test_a_name_with_two_addresses_is_tried_in_order() -> None:
    with a_server() as server:
        base = f"http://localhost:{server.port}"
        names = resolving({"localhost": ["127.0.0.2", "127.0.0.1"]})
        session = Egress(resolve=names).session_for(a_tenant(fhir_base=f"{base}/fhir"))

        assert session.get(f"{base}/host").text == f"localhost:{server.port}"


def test_a_redirect_is_not_followed() -> None:
    with a_server() as server:
        session = Egress().session_for(a_tenant(fhir_base=f"{server.base}/fhir"))

        answer = session.get(f"{server.base}/redirect")

    assert answer.status_code == 302 and server.seen == ["/redirect"]


def test_a_body_past_the_cap_is_an_error_also_when_it_is_compressed() -> None:
    with a_server() as server:
        tenant = a_tenant(fhir_base=f"{server.base}/fhir")
        session = Egress().session_for(tenant, max_bytes=100_000)

        for path in ("/large", "/bomb"):
            with pytest.raises(EhrAnswerInvalid):
                session.get(server.base + path)


def test_a_body_that_drips_is_cut_off() -> None:
    with a_server() as server:
        tenant = a_tenant(fhir_base=f"{server.base}/fhir")
        session = Egress().session_for(tenant, timeout_s=60, body_s=0.2)

        with pytest.raises(EhrTimedOut):
            session.get(f"{server.base}/drip")


def test_neither_cookies_nor_netrc_travel(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_server() as server:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        session = Egress().session_for(a_tenant(fhir_base=f"{server.base}/fhir"))
        session.get(f"{server.base}/cookie")

        headers = session.get(f"{server.base}/headers").json()

    assert "Cookie" not in headers and "Authorization" not in headers


def test_a_header_of_one_session_does_not_reach_the_next() -> None:
    with a_server() as server:
        egress, tenant = Egress(), a_tenant(fhir_base=f"{server.base}/fhir")
        first = egress.session_for(tenant)
        first.headers["Authorization"] = "Bearer one"
        first.get(f"{server.base}/headers")

        headers = egress.session_for(tenant).get(f"{server.base}/headers").json()

    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("https://ehr.example.org/fhir?page=2", True),
        ("https://EHR.example.org:443/fhir?page=2", True),
        ("/fhir?page=2", True),
        ("?page=2", True),
        ("http://ehr.example.org/fhir?page=2", False),
        ("https://ehr.example.org.evil.example/fhir", False),
        ("//evil.example/fhir", False),
        ("https://a@ehr.example.org/fhir", False),
    ],
)
def test_same_origin_knows_where_a_paging_link_leads(url: str, stays: bool) -> None:
    assert same_origin(url, "https://ehr.example.org/fhir") is stays


def test_an_origin_prints_as_it_is_compared() -> None:
    assert str(origin_of("https://EHR.example.org./fhir")) == "https://ehr.example.org:443"
