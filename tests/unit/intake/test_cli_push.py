"""`sightline intake token` and `sightline dimse`: what an administrator types."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cds_service.adapters.dimse.listener import Caller
from cds_service.adapters.ledger import SqlPushCredentials, SqlTenants, connect, schema, upgrade
from cds_service.adapters.proxy_certificate import pem_digest
from cds_service.cli import main
from cds_service.cli_push import address_of, caller_of
from cds_service.domain.inbox import CredentialKind
from cds_service.domain.intake import Door
from cds_service.errors import SettingsInvalid
from tests.builders import a_tenant
from tests.intake.test_stow import a_certificate

Run = Callable[..., Result]
NAME = "General Hospital"


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    engine = connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    upgrade(engine)
    SqlTenants(engine).add(a_tenant(name=NAME))
    return engine


@pytest.fixture
def token(engine: sa.Engine, tmp_path: Path) -> Run:
    return lambda *more: CliRunner().invoke(
        main, ["intake", "token", "--data", str(tmp_path), "--ehr", NAME, *more]
    )


def audited(engine: sa.Engine) -> list[tuple[str, str]]:
    columns = (schema.audit_event.c.action, schema.audit_event.c.detail)
    with engine.connect() as connection:
        return [(row.action, row.detail) for row in connection.execute(sa.select(*columns))]


def test_a_token_is_printed_once_and_only_its_digest_is_kept(
    token: Run, engine: sa.Engine, tmp_path: Path
) -> None:
    result = token()

    assert result.exit_code == 0, result.output
    made = result.stdout.strip()
    digest = sha256(made.encode()).hexdigest()
    assert SqlPushCredentials(engine).tenant_of(CredentialKind.TOKEN, digest) == "t-1"
    engine.dispose()
    assert not any(made.encode() in path.read_bytes() for path in tmp_path.iterdir())
    assert "/dicom-web/t-1/studies" in result.stderr
    assert audited(engine) == [("push-allowed", "token")]


def test_every_token_is_another_and_all_are_taken_back_at_once(
    token: Run, engine: sa.Engine
) -> None:
    made = {token().stdout.strip() for _ in range(2)}
    assert len(made) == 2

    result = token("--revoke")

    assert "2 tokens and certificates are accepted no more" in result.output
    digests = [sha256(one.encode()).hexdigest() for one in made]
    credentials = SqlPushCredentials(engine)
    assert [credentials.tenant_of(CredentialKind.TOKEN, one) for one in digests] == [None, None]
    assert audited(engine)[-1] == ("push-revoked", "2 credentials")


def test_a_certificate_may_be_named_instead(token: Run, engine: sa.Engine, tmp_path: Path) -> None:
    pem = a_certificate()
    (tmp_path / "archive.pem").write_bytes(pem)

    result = token("--certificate", str(tmp_path / "archive.pem"))
    again = token("--certificate", str(tmp_path / "archive.pem"))

    assert result.exit_code == 0, result.output
    digest = str(pem_digest(pem))
    assert SqlPushCredentials(engine).tenant_of(CredentialKind.CERTIFICATE, digest) == "t-1"
    assert again.exit_code == 2 and "registered already" in again.output


@pytest.mark.parametrize("name", ["missing.pem", "ledger.sqlite"])
def test_a_file_that_is_no_certificate_is_refused(token: Run, tmp_path: Path, name: str) -> None:
    result = token("--certificate", str(tmp_path / name))

    assert result.exit_code == 2 and "cannot be read, or it is not PEM" in result.output


@pytest.mark.parametrize(
    "bind", ["0.0.0.0:11112", "[::]:11112", ":11112", "127.0.0.1", "host:1", "127.0.0.1:99999"]
)
def test_the_listener_binds_one_named_interface_and_no_other(bind: str) -> None:
    with pytest.raises(SettingsInvalid, match="--bind"):
        address_of(bind)


@pytest.mark.parametrize(
    ("bind", "address"), [("127.0.0.1:11112", ("127.0.0.1", 11112)), ("[::1]:104", ("::1", 104))]
)
def test_an_interface_is_named_by_its_address(bind: str, address: tuple[str, int]) -> None:
    assert address_of(bind) == address


@pytest.mark.parametrize(
    "text",
    ["PACS", "PACS@", "@10.1.2.3", "PACS@host", "PACS@10.1.2.3/8", f"{'A' * 17}@10.1.2.3"],
)
def test_a_caller_is_a_title_and_an_address(text: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"AET@NETWORK|is no AE title"):
        caller_of(text)


def test_a_caller_is_at_its_own_addresses_only() -> None:
    one, network = caller_of("PACS@10.1.2.3"), caller_of("PACS@10.1.2.0/24")

    assert one == Caller("PACS", "10.1.2.3/32")
    assert one.is_at("10.1.2.3") and not one.is_at("10.1.2.4")
    assert network.is_at("10.1.2.4") and not network.is_at("10.1.3.4")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tls-key", "k.pem"], "TLS needs both"),
        (["--tls-certificate", "c.pem", "--tls-key", "k.pem"], "--tls-certificate and --tls-key"),
    ],
)
def test_tls_that_cannot_be_had_stops_the_start(
    engine: sa.Engine, tmp_path: Path, options: list[str], sentence: str
) -> None:
    SqlTenants(engine).set_door("t-1", Door.DIMSE, is_open=True)
    environment = {
        "SIGHTLINE_DATA": str(tmp_path),
        "SIGHTLINE_PUBLIC_URL": "http://127.0.0.1:9",
        "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:9/0",
    }

    result = CliRunner().invoke(
        main, ["dimse", "--ehr", NAME, "--from", "PACS@10.1.2.3", *options], env=environment
    )

    assert result.exit_code == 2 and sentence in result.output
