"""`sightline archive credential`: what an administrator types, against a real ledger."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlAuditLog, SqlTenants, connect, upgrade
from cds_service.adapters.vault import Vault, load_or_create_key
from cds_service.cli import main
from cds_service.domain.archive_credential import AccessKind
from cds_service.domain.audit import AuditAction
from cds_service.domain.tenant import Tenant
from cds_service.usecases.archive_credentials import open_archive_credential
from tests.builders import NOW, a_tenant

ARCHIVE = "https://192.0.2.7/dicom-web"
NAME = "General Hospital"
Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    engine = connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    upgrade(engine)
    keys = {"jwks": None, "jwks_url": "https://ehr.example.org/jwks.json"}
    SqlTenants(engine).add(a_tenant(archive_base=ARCHIVE, **keys))
    return tmp_path


@pytest.fixture
def run(data: Path) -> Run:
    def run(*words: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(main, [*words, "--data", str(data)], input=typed)

    return run


@pytest.fixture
def credential(run: Run) -> Run:
    return lambda *words, typed=None: run("archive", "credential", *words, typed=typed)


def the_tenant(data: Path) -> Tenant:
    return SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).get("t-1")


def secrets(data: Path) -> list[str]:
    vault = Vault(load_or_create_key(data / "master.key"))
    kept = the_tenant(data).archive_credentials
    return [open_archive_credential("t-1", one, vault=vault) for one in kept]


def test_a_password_is_read_from_a_file_and_kept_sealed(credential: Run, data: Path) -> None:
    (data / "password").write_text("correct horse\n")

    words = ("--basic", "sightline", "--secret-file", str(data / "password"))
    result = credential(NAME, ARCHIVE, *words)

    assert result.exit_code == 0 and "correct horse" not in result.output
    assert result.output == f"{NAME}: basic credentials for {ARCHIVE} are set.\n"
    [kept] = the_tenant(data).archive_credentials
    assert (kept.kind, kept.name) == (AccessKind.BASIC, "sightline")
    assert secrets(data) == ["correct horse"]
    assert b"correct horse" not in (data / "ledger.sqlite").read_bytes()


def test_a_token_is_read_from_standard_input(credential: Run, data: Path) -> None:
    result = credential(NAME, ARCHIVE, "--bearer", typed="abc.def\n")

    assert result.exit_code == 0 and secrets(data) == ["abc.def"]


def test_client_credentials_name_the_token_endpoint_the_client_and_the_scope(
    credential: Run, data: Path
) -> None:
    url, scope = "https://login.example.org/token", "https://dicom.example.org/.default"
    words = ("--client-credentials", url, "client-1", "--scope", scope, "--secret-file", "-")

    result = credential(NAME, ARCHIVE, *words, typed="s3cret")

    assert result.exit_code == 0
    [kept] = the_tenant(data).archive_credentials
    assert (kept.kind, kept.token_url) == (AccessKind.CLIENT_CREDENTIALS, url)
    assert (kept.name, kept.scope, secrets(data)) == ("client-1", scope, ["s3cret"])


def test_what_was_set_is_shown_by_its_kind_alone(credential: Run, run: Run) -> None:
    assert "the EHR's token" in run("ehr", "show", NAME).output
    credential(NAME, ARCHIVE, "--basic", "sightline-user", typed="correct horse")

    shown, listed = run("ehr", "show", NAME).output, run("ehr", "list").output

    assert f"basic for {ARCHIVE}" in shown and "archives   basic" in listed
    for text in (shown, listed):
        assert "sightline-user" not in text and "correct horse" not in text


def test_what_was_removed_is_gone(credential: Run, data: Path) -> None:
    credential(NAME, ARCHIVE, "--bearer", typed="abc")

    result = credential(NAME, ARCHIVE, "--remove")

    assert result.exit_code == 0 and the_tenant(data).archive_credentials == ()
    again = credential(NAME, ARCHIVE, "--remove")
    assert again.exit_code == 2 and "There are no credentials" in again.output


def test_setting_and_removing_stand_in_the_audit_log_without_the_secret(
    credential: Run, data: Path
) -> None:
    credential(NAME, ARCHIVE, "--basic", "sightline-user", typed="correct horse")
    credential(NAME, ARCHIVE, "--remove")

    actions = (AuditAction.ARCHIVE_CREDENTIAL_SET, AuditAction.ARCHIVE_CREDENTIAL_REMOVED)
    log = SqlAuditLog(connect(f"sqlite:///{data / 'ledger.sqlite'}"))
    events = log.newest(actions, since=NOW.replace(year=2000))
    assert {(one.action, one.detail) for one in events} == {
        (actions[0], f"basic for {ARCHIVE}"),
        (actions[1], f"for {ARCHIVE}"),
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((NAME, ARCHIVE), "Say one of"),
        ((NAME, ARCHIVE, "--bearer", "--remove"), "Say one of"),
        ((NAME, ARCHIVE, "--basic", "a", "--bearer"), "Say one of"),
        ((NAME, ARCHIVE, "--bearer", "--scope", "s"), "--scope is for"),
        (("Nowhere", ARCHIVE, "--bearer"), "No EHR is registered"),
        ((NAME, "https://192.0.2.8/dicom-web", "--bearer"), f"registered: {ARCHIVE}"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(
    credential: Run, data: Path, words: tuple[str, ...], sentence: str
) -> None:
    result = credential(*words, typed="abc")

    assert result.exit_code == 2 and sentence in result.output
    assert the_tenant(data).archive_credentials == ()


def test_an_empty_secret_is_refused(credential: Run, data: Path) -> None:
    result = credential(NAME, ARCHIVE, "--bearer", typed="")

    assert result.exit_code == 2 and the_tenant(data).archive_credentials == ()


@pytest.mark.parametrize(
    ("host", "is_let"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("[fd00::1]", True),
        ("8.8.8.8", False),
        ("[2001:4860:4860::8888]", False),
        ("[::ffff:8.8.8.8]", False),
        ("[64:ff9b::808:808]", False),
    ],
)
def test_a_password_over_plain_http_is_for_the_inside_only(
    credential: Run, run: Run, data: Path, host: str, is_let: bool
) -> None:
    base = f"http://{host}/dicom-web"
    assert run("ehr", "change", NAME, "--archive", base).exit_code == 0

    result = credential(NAME, base, "--basic", "sightline", typed="correct horse")

    assert (result.exit_code == 0) is is_let is bool(the_tenant(data).archive_credentials)
    assert is_let or "in the clear" in result.output


def test_another_archive_forgets_the_credentials_of_the_one_before(
    credential: Run, run: Run, data: Path
) -> None:
    credential(NAME, ARCHIVE, "--bearer", typed="abc")

    kept = run("ehr", "change", NAME, "--other-archive", "https://192.0.2.8/dicom-web")
    assert kept.exit_code == 0 and len(the_tenant(data).archive_credentials) == 1

    result = run("ehr", "change", NAME, "--archive", "https://192.0.2.9/dicom-web")

    assert the_tenant(data).archive_credentials == ()
    assert f"bearer for {ARCHIVE} -> the EHR's token" in result.output
