"""`sightline ehr`: what an administrator types, against a real ledger."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlAuditLog, SqlCardLog, SqlTenants, connect, upgrade
from cds_service.adapters.vault import Vault
from cds_service.cli import main
from cds_service.domain.card import Feedback, Outcome, ShownCard
from cds_service.domain.dialect import DialectName
from cds_service.domain.finding import Coding
from cds_service.domain.image_form import ImageForm
from cds_service.domain.tenant import Vendor
from cds_service.usecases.client_secret import open_client_secret
from tests.builders import NOW
from tests.web.ehr_client import AnEhr

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    upgrade(connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))
    return tmp_path


@pytest.fixture
def run(data: Path) -> Run:
    return lambda *words: CliRunner().invoke(main, ["ehr", *words, "--data", str(data)])


ADD = [
    "add",
    "--name",
    "St. Elsewhere",
    "--fhir-base",
    "https://ehr.example.org/fhir/",
    "--issuer",
    "https://ehr.example.org",
    "--jwks",
    "https://ehr.example.org/jwks.json",
]


def test_an_ehr_is_added_with_all_that_was_said(run: Run, data: Path) -> None:
    running = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}"))  # before: no restart
    assert running.all() == []

    result = run(
        *ADD,
        *("--jku", "https://ehr.example.org/jku", "--client-id", "c-1"),
        *("--archive", "http://10.0.0.5:8042/dicom-web", "--vendor", "epic"),
        *("--origin", "https://a.example.org", "--origin", "https://b.example.org"),
    )

    (tenant,) = running.all()
    assert result.exit_code == 0 and "St. Elsewhere" in result.output
    assert tenant.fhir_base == "https://ehr.example.org/fhir"
    assert tenant.jwks_url == "https://ehr.example.org/jwks.json" and tenant.jwks is None
    assert tenant.jkus == ("https://ehr.example.org/jku",) and tenant.client_id == "c-1"
    assert tenant.archive_base == "http://10.0.0.5:8042/dicom-web"
    assert tenant.vendor is Vendor.EPIC and len(tenant.origins) == 2


def test_every_option_of_trust_and_dialect_is_kept_and_shown(run: Run, data: Path) -> None:
    result = run(
        *ADD,
        *("--jku", "https://ehr.example.org/a", "--jku", "https://ehr.example.org/b"),
        *("--algorithm", "RS384", "--algorithm", "PS384", "--audience", "typed by hand"),
        *("--tenant-claim", "site-1", "--tenant-claim", "site-2", "--subject", "client-1"),
        *("--discovery-needs-token", "--vendor", "epic", "--dialect", "1.0"),
    )

    (tenant,) = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).all()
    shown = run("show", "St. Elsewhere").output
    assert result.exit_code == 0
    assert tenant.algorithms == ("RS384", "PS384") and tenant.audiences == ("typed by hand",)
    assert tenant.tenant_claims == ("site-1", "site-2") and tenant.subject == "client-1"
    assert tenant.discovery_needs_token and tenant.dialect is DialectName.V1_0
    for line in (
        "jku             https://ehr.example.org/a, https://ehr.example.org/b",
        "algorithms      RS384, PS384",
        "audiences       typed by hand",
        "tenant claims   site-1, site-2",
        "subject         client-1",
        "discovery       needs a token",
        "vendor          epic",
        "dialect         1.0",
    ):
        assert line in shown.splitlines()


def test_for_whom_the_app_opens_is_kept_and_shown(run: Run, data: Path) -> None:
    result = run(
        *ADD,
        *("--app-user", "Practitioner", "--app-user", "Patient"),
        *("--reviewer", "PractitionerRole/7", "--critical-limit", "15"),
    )

    (tenant,) = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).all()
    shown = run("show", "St. Elsewhere").output.splitlines()
    assert result.exit_code == 0 and tenant.critical_limit_min == 15
    assert "app users       Practitioner, Patient" in shown
    assert "reviewers       PractitionerRole/7" in shown
    assert "critical limit  15 min" in shown


@pytest.mark.parametrize(
    "option",
    [("--app-user", "Nurse"), ("--reviewer", "Practitioner/"), ("--critical-limit", "0")],
)
def test_a_rule_that_names_nobody_is_refused(run: Run, option: tuple[str, str]) -> None:
    assert run(*ADD, *option).exit_code != 0


def test_a_plain_registration_is_shown_with_what_is_not_looked_at(run: Run) -> None:
    run(*ADD)

    shown = run("show", "St. Elsewhere").output

    assert "audiences       the address that is called" in shown
    assert "discovery       public" in shown and "dialect         strict-2.0" in shown
    assert shown.count("not looked at") == 3


def test_a_key_set_may_be_a_file(run: Run, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(AnEhr().public_keys())

    result = run(*ADD[:-1], str(path))

    (tenant,) = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).all()
    assert result.exit_code == 0 and tenant.jwks == path.read_text()


def test_an_ehr_is_listed_and_removed_by_its_name(run: Run) -> None:
    run(*ADD)

    assert "https://ehr.example.org/fhir" in run("list").output
    assert run("remove", "St. Elsewhere").exit_code == 0
    assert run("list").output == ""


def test_the_form_of_images_is_a_choice_and_as_stored_without_one(run: Run, data: Path) -> None:
    run(*ADD)

    result = run("change", "St. Elsewhere", "--images", "uncompressed")

    (tenant,) = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).all()
    assert tenant.images is ImageForm.UNCOMPRESSED
    assert result.output.splitlines() == [
        "images          as-stored -> uncompressed",
        "Damage is not found in images that the archive has converted.",
    ]
    assert "Damage" not in run("change", "St. Elsewhere", "--images", "as-stored").output


def test_a_change_to_what_is_there_already_says_that_nothing_changed(run: Run) -> None:
    run(*ADD)

    assert run("change", "St. Elsewhere", "--vendor", "generic").output == "Nothing changed.\n"


def test_a_change_says_what_was_and_what_is_and_leaves_the_rest(run: Run, data: Path) -> None:
    run(*ADD, *("--subject", "s-1", "--origin", "https://a.example.org"))

    result = run(
        *("change", "St. Elsewhere", "--name", "St. Elsewhere North", "--negative-cards"),
        *("--origin", "https://b.example.org", "--without", "subject"),
    )

    (tenant,) = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).all()
    assert result.output.splitlines() == [
        "name            St. Elsewhere -> St. Elsewhere North",
        "subject         s-1 -> not looked at",
        "origins         https://a.example.org -> https://b.example.org",
        "negative cards  no -> yes",
    ]
    assert tenant.name == "St. Elsewhere North" and tenant.subject is None
    assert tenant.shows_negative and tenant.jwks_url == "https://ehr.example.org/jwks.json"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("change", "St. Elsewhere"), "Name what is to change"),
        (("change", "Elsewhere", "--language", "de"), "registered: St. Elsewhere"),
        (("change", "St. Elsewhere", "--without", "jwks"), "jwks"),
        (("change", "St. Elsewhere", "--audience", ""), "audience"),
        (ADD[:3], "--fhir-base, --issuer, --jwks"),
    ],
)
def test_a_change_or_a_registration_that_lacks_something_says_what(
    run: Run, words: tuple[str, ...], sentence: str
) -> None:
    run(*ADD)

    result = run(*words)

    assert result.exit_code == 2 and sentence in result.output
    assert "Traceback" not in result.output


def test_site_policies_are_options_too(run: Run, data: Path) -> None:
    run(*ADD, "--no-running-cards", "--negative-cards", "--no-own-reads", "--no-mismatch-cards")

    (tenant,) = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).all()
    assert (tenant.shows_running, tenant.shows_negative) == (False, True)
    assert not tenant.backend_services and not tenant.shows_mismatch


def test_a_registration_is_audited(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = []
    monkeypatch.setattr(SqlAuditLog, "record", lambda _self, event: noted.append(event.action))

    run(*ADD)
    run("remove", "St. Elsewhere")

    assert noted == ["ehr-registered", "ehr-removed"]


def test_feedback_is_counted_by_finding_model_outcome_and_reason(run: Run, data: Path) -> None:
    run(*ADD)
    engine = connect(f"sqlite:///{data / 'ledger.sqlite'}")
    (tenant,) = SqlTenants(engine).all()
    assert run("feedback", "St. Elsewhere").output == "No feedback yet.\n"

    cards = SqlCardLog(engine)
    reason = Coding("s", "c", "Known already")
    for number in range(3):
        cards.shown(tenant.id, ShownCard(f"card-{number}", finding_code="233604007"))
        cards.record(Feedback(tenant.id, f"card-{number}", Outcome.OVERRIDDEN, NOW, reason))
    cards.record(Feedback(tenant.id, "card-0", Outcome.ACCEPTED, NOW))

    assert run("feedback", "St. Elsewhere").output.splitlines() == [
        "     1  233604007  no result yet  accepted",
        "     3  233604007  no result yet  overridden  Known already",
    ]


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--fhir-base", "ehr.example.org", "FHIR base"),
        ("--fhir-base", "ftp://ehr.example.org", "FHIR base"),
        ("--jwks", "no-such-file.json", "no URL and no readable file"),
        ("--issuer", "not an address", "issuer"),
        ("--name", " ", "name"),
        ("--vendor", "other", "vendor"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_it(
    run: Run, option: str, value: str, sentence: str
) -> None:
    words = list(ADD)
    if option in words:
        words[words.index(option) + 1] = value
    else:
        words += [option, value]

    result = run(*words)

    assert result.exit_code == 2 and sentence in result.output
    assert "Traceback" not in result.output


def test_the_same_name_twice_is_refused(run: Run) -> None:
    run(*ADD)

    result = run(*ADD)

    assert result.exit_code == 2 and "name" in result.output


def test_an_unknown_name_is_answered_with_the_known_ones(run: Run) -> None:
    run(*ADD)

    result = run("remove", "General")

    assert result.exit_code == 2 and "St. Elsewhere" in result.output


def test_a_folder_without_an_installation_is_said_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["ehr", "list", "--data", str(tmp_path)])

    assert result.exit_code == 2 and "no Sightline installation" in result.output


def test_a_client_secret_comes_from_a_file_and_is_kept_sealed(
    run: Run, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("secret") / "secret"
    file.write_text("open sesame\n")

    result = run(
        *ADD, *("--client-id", "c", "--client-kind", "symmetric", "--client-secret-file", str(file))
    )

    (tenant,) = SqlTenants(connect(f"sqlite:///{data / 'ledger.sqlite'}")).all()
    vault = Vault((data / "master.key").read_bytes())
    assert result.exit_code == 0 and open_client_secret(tenant, vault=vault) == "open sesame"
    assert b"open sesame" not in (data / "ledger.sqlite").read_bytes()
    assert "sesame" not in run("show", "St. Elsewhere").output


def test_an_ehr_without_a_secret_needs_no_master_key(run: Run, data: Path) -> None:
    assert run(*ADD, "--client-id", "c", "--client-kind", "public").exit_code == 0

    assert not (data / "master.key").exists()
    assert "client kind     public" in run("show", "St. Elsewhere").output
