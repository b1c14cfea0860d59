"""What is said about an EHR, check by check, and what is to be done about it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cds_service.domain.intake import Door
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import (
    ArchiveFailed,
    ArchiveRefused,
    DoorbellSilent,
    EhrBusy,
    EhrRefused,
    EhrTimedOut,
    LaunchRefused,
    ModelMissing,
    SightlineError,
    UpstreamFailed,
)
from cds_service.usecases.check_ehr import check_ehr
from cds_service.usecases.ehr_probes import Installation, Outcome, Probes, Said, Scopes
from tests.builders import a_tenant

OK, WARNING = Outcome.OK, Outcome.WARNING
FAILED, NOT_SET_UP = Outcome.FAILED, Outcome.NOT_SET_UP
KEYS = "https://ehr.example.org/jwks.json"
PACS, DIMSE = "https://pacs.example.org/dicom-web", "dicom://SIGHTLINE@PACS@10.0.0.5:11112"
SCOPES = Scopes(
    reading=("system/Patient.rs", "system/ImagingStudy.rs", "system/Endpoint.rs"),
    reading_orders=("system/Patient.rs", "system/ServiceRequest.rs"),
    writing=("system/Observation.crus", "system/Provenance.crus", "system/DocumentReference.crs"),
    subscribing=("system/Subscription.cruds",),
)
ALL = "system/*.cruds"
SMART = frozenset(
    {
        *("launch-ehr", "context-ehr-patient", "permission-patient", "sso-openid-connect"),
        "client-confidential-asymmetric",
    }
)
TYPES = {
    kind: ("read", "search-type", "create", "update")
    for kind in (
        *("Patient", "ImagingStudy", "Endpoint", "ServiceRequest", "Subscription"),
        *("Observation", "DiagnosticReport", "Device", "Provenance"),
    )
}


def a_statement(version: str = "4.0.1", **types: Any) -> dict[str, Any]:
    """Return what a server says that serves `TYPES`, changed so; () takes a type away."""
    served = {kind: codes for kind, codes in (TYPES | types).items() if codes}
    resources = [
        {"type": kind, "interaction": [{"code": code} for code in codes]}
        for kind, codes in served.items()
    ]
    return {
        "resourceType": "CapabilityStatement",
        "fhirVersion": version,
        "rest": [{"resource": resources, "interaction": [{"code": "transaction"}]}],
    }


def some_probes(**changes: Any) -> Probes:
    """Return probes of an EHR at which all is well."""
    values: dict[str, Any] = {
        "statement": lambda _: a_statement(),
        "sign_in": lambda _: SMART,
        "key_kinds": lambda *_: frozenset({"P-384", "RSA"}),
        "granted": lambda _: ALL,
        "granted_to_subscribe": lambda _: ALL,
        "archive": lambda *_: None,
        "feed": lambda *_: None,
        "models": lambda _: 1,
        "scopes": SCOPES,
        "installation": an_installation(),
    }
    return Probes(**(values | changes))


def an_installation(**changes: Any) -> Installation:
    here = Installation("https://ai.example.org", lambda _: True, lambda: 2)
    return replace(here, **changes)


def raising(error: SightlineError) -> Callable[..., Any]:
    def fails(*_: object) -> None:
        raise error

    return fails


def checked(tenant: Tenant | None = None, **changes: Any) -> list[Said]:
    probes = some_probes(**changes)
    return list(check_ehr(tenant or a_tenant(), probes, bounded=lambda check: check()))


def said_of(check: str, tenant: Tenant | None = None, **changes: Any) -> Said:
    (found,) = [one for one in checked(tenant, **changes) if one.check == check]
    return found


def test_an_ehr_that_works_is_ok_line_by_line() -> None:
    lines = checked()

    assert [one.check for one in lines] == [
        *("fhir", "fhir-reading", "write-back", "sign-in", "hook-keys"),
        *("token", "scopes-reading", "scopes-writing", "archive", "models"),
        *("public-url", "own-keys", "redis", "workers"),
    ]
    assert {one.outcome for one in lines} == {OK}
    assert {one.advice for one in lines} == {""}


def test_one_failure_does_not_stop_the_next_check() -> None:
    fails = raising(EhrBusy("Not now."))
    probes = ("statement", "sign_in", "key_kinds", "granted", "archive", "models")

    lines = checked(a_tenant(), **dict.fromkeys(probes, fails))

    failed = [one for one in lines if one.outcome is FAILED]
    assert [one.check for one in failed] == [
        *("fhir", "sign-in", "hook-keys", "token", "archive", "models")
    ]
    assert all(one.text == "Not now." and one.advice for one in failed)
    assert lines[-1].outcome is OK


def test_a_check_that_takes_too_long_is_a_failure() -> None:
    late = raising(EhrTimedOut("This took longer than 10 s."))

    lines = list(check_ehr(a_tenant(), some_probes(), bounded=late))

    assert {(one.outcome, one.text) for one in lines} == {(FAILED, "This took longer than 10 s.")}


# --- FHIR ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", [a_statement("5.0.0"), {"resourceType": "Bundle"}])
def test_a_base_that_is_not_r4_has_one_line_and_no_more(statement: dict[str, Any]) -> None:
    lines = [one for one in checked(statement=lambda _: statement) if one.check.startswith("fhir")]

    assert [(one.check, one.outcome) for one in lines] == [("fhir", FAILED)]
    assert "--fhir-base" in lines[0].advice


def test_an_ehr_without_imaging_study_is_told_of_with_the_vendor_that_has_none() -> None:
    said = said_of("fhir-reading", statement=lambda _: a_statement(ImagingStudy=()))

    assert said.outcome is FAILED
    assert "ImagingStudy (search-type)" in said.text and "--vendor oracle" in said.advice


def test_oracle_needs_orders_and_no_imaging_study() -> None:
    oracle = a_tenant(vendor=Vendor.ORACLE)
    without = a_statement(ImagingStudy=())

    assert said_of("fhir-reading", oracle, statement=lambda _: without).outcome is OK
    lacking = said_of("fhir-reading", oracle, statement=lambda _: a_statement(ServiceRequest=()))
    assert lacking.outcome is FAILED and "ServiceRequest (search-type)" in lacking.text


def test_without_endpoint_the_registration_must_name_an_archive() -> None:
    nowhere = a_tenant(archive_base=None)

    said = said_of("fhir-reading", nowhere, statement=lambda _: a_statement(Endpoint=()))

    assert said.outcome is FAILED and "--archive" in said.advice
    assert said_of("fhir-reading", statement=lambda _: a_statement(Endpoint=())).outcome is OK


def test_an_ehr_that_takes_no_observation_is_not_set_up_for_writing() -> None:
    read_only = a_statement(Observation=("read", "search-type"))

    said = said_of("write-back", statement=lambda _: read_only)

    assert said.outcome is NOT_SET_UP and "Cards and the app work" in said.advice


def test_an_ehr_that_takes_a_part_of_what_is_written_fails_and_names_the_rest() -> None:
    said = said_of("write-back", statement=lambda _: a_statement(Provenance=("read",)))

    assert said.outcome is FAILED
    assert "Provenance (create), Provenance (search-type)" in said.text


def test_whether_all_is_written_at_once_is_said() -> None:
    alone = a_statement() | {"rest": [{"resource": a_statement()["rest"][0]["resource"]}]}

    assert "in one transaction" in said_of("write-back").text
    assert "one by one" in said_of("write-back", statement=lambda _: alone).text


@pytest.mark.parametrize(
    "tenant",
    [a_tenant(vendor=Vendor.EPIC), a_tenant(vendor=Vendor.ORACLE), a_tenant(client_id=None)],
    ids=["Epic", "Oracle Health", "no client"],
)
def test_where_nothing_is_written_the_reason_is_said(tenant: Tenant) -> None:
    lines = checked(tenant)

    (said,) = [one for one in lines if one.check == "write-back"]
    assert said.outcome is NOT_SET_UP and said.text.startswith("Nothing is written back: ")
    assert "scopes-writing" not in {one.check for one in lines}


def test_a_subscription_is_looked_for_only_where_its_door_is_open() -> None:
    ringing = a_tenant(doors=(Door.SUBSCRIPTION,))
    without = a_statement(Subscription=())

    assert "subscription" not in {one.check for one in checked()}
    assert said_of("subscription", ringing).outcome is OK
    said = said_of("subscription", ringing, statement=lambda _: without)
    assert said.outcome is FAILED and "fhir-polling" in said.advice


# --- trust --------------------------------------------------------------------------------------


def test_without_a_client_id_there_is_neither_app_nor_token() -> None:
    nobody = a_tenant(client_id=None)

    for check in ("sign-in", "token"):
        said = said_of(check, nobody)
        assert said.outcome is NOT_SET_UP and "--client-id" in said.advice


def test_a_sign_in_that_is_not_safe_fails_in_the_words_of_the_launch() -> None:
    said = said_of("sign-in", sign_in=raising(LaunchRefused("It does not offer PKCE with S256.")))

    assert said.outcome is FAILED and said.text == "It does not offer PKCE with S256."


def test_a_capability_that_is_not_stated_is_a_warning() -> None:
    said = said_of("sign-in", sign_in=lambda _: SMART - {"launch-ehr"})

    assert said.outcome is WARNING and "launch-ehr" in said.text


def test_a_public_client_is_looked_for_as_one() -> None:
    public = a_tenant(client_kind=ClientKind.PUBLIC)

    assert "client-public" in said_of("sign-in", public).text
    assert said_of("sign-in", public, sign_in=lambda _: SMART | {"client-public"}).outcome is OK
    assert said_of("token", public).outcome is NOT_SET_UP


def test_one_algorithm_with_a_key_is_enough() -> None:
    said = said_of("hook-keys", key_kinds=lambda *_: frozenset({"RSA"}))

    assert said.outcome is OK and "RS384" in said.text and "ES384" not in said.text


def test_keys_of_other_algorithms_fail_and_name_the_option() -> None:
    said = said_of("hook-keys", key_kinds=lambda *_: frozenset({"P-256"}))

    assert said.outcome is FAILED and "ES384 or RS384" in said.text
    assert "--algorithm" in said.advice


def test_every_address_of_keys_is_looked_at_once() -> None:
    asked: list[str | None] = []
    other = "https://ehr.example.org/other.json"
    tenant = a_tenant(jwks=None, jwks_url=KEYS, jkus=(KEYS, other))

    def key_kinds(_tenant: Tenant, address: str | None) -> frozenset[str]:
        asked.append(address)
        return frozenset({"RSA"})

    checked(tenant, key_kinds=key_kinds)

    assert asked == [KEYS, other]


def test_a_key_set_that_cannot_be_read_is_named() -> None:
    tenant = a_tenant(jwks=None, jwks_url=KEYS)

    said = said_of("hook-keys", tenant, key_kinds=raising(EhrBusy("The key set answered 404.")))

    assert said.outcome is FAILED and f"--jwks {KEYS}" in said.advice


def test_a_token_that_is_refused_has_one_line_and_says_what_to_compare() -> None:
    lines = checked(granted=raising(EhrRefused("The EHR's token endpoint answered 401.")))

    said = [one for one in lines if one.check == "token" or one.check.startswith("scopes")]
    assert [(one.check, one.outcome) for one in said] == [("token", FAILED)]
    assert "--client-id" in said[0].advice and "jwks.json" in said[0].advice


def test_a_scope_that_is_missing_for_reading_is_named() -> None:
    granted = "system/Patient.rs system/ImagingStudy.r system/Endpoint.rs"

    said = said_of("scopes-reading", granted=lambda _: granted)

    assert said.outcome is FAILED and "system/ImagingStudy.rs" in said.text
    assert "system/Patient.rs" not in said.text


def test_scopes_of_version_1_are_understood() -> None:
    said = said_of("scopes-reading", granted=lambda _: "system/Patient.read system/*.read")

    assert said.outcome is OK


def test_reading_endpoints_is_needed_only_where_no_archive_is_registered() -> None:
    granted = "system/Patient.rs system/ImagingStudy.rs"

    assert said_of("scopes-reading", granted=lambda _: granted).outcome is OK
    nowhere = a_tenant(archive_base=None)
    assert said_of("scopes-reading", nowhere, granted=lambda _: granted).outcome is FAILED


def test_a_site_without_own_reads_is_not_told_to_grant_them() -> None:
    said = said_of("scopes-reading", a_tenant(backend_services=False), granted=lambda _: "")

    assert said.outcome is NOT_SET_UP and "--no-own-reads" in said.text


@pytest.mark.parametrize(
    ("granted", "outcome"),
    [
        ("system/Observation.crus system/Provenance.crus", OK),  # no DocumentReference is written
        ("system/Observation.crus", FAILED),
        ("system/Patient.rs", NOT_SET_UP),
    ],
)
def test_scopes_for_writing_are_all_there_or_some_or_none(granted: str, outcome: Outcome) -> None:
    assert said_of("scopes-writing", granted=lambda _: granted).outcome is outcome


def test_the_scope_to_subscribe_is_asked_for_only_where_the_door_is_open() -> None:
    ringing = a_tenant(doors=(Door.SUBSCRIPTION,))

    assert "scopes-subscription" not in {one.check for one in checked()}
    assert said_of("scopes-subscription", ringing).outcome is OK
    said = said_of("scopes-subscription", ringing, granted_to_subscribe=lambda _: "")
    assert said.outcome is FAILED and "system/Subscription.cruds" in said.text
    refused = raising(EhrRefused("The EHR grants none of these scopes."))
    said = said_of("scopes-subscription", ringing, granted_to_subscribe=refused)
    assert said.outcome is FAILED and "fhir-polling" in said.advice


# --- archives -----------------------------------------------------------------------------------


def test_each_archive_has_its_line_and_one_that_fails_is_named() -> None:
    tenant = a_tenant(archive_base=PACS, other_archives=(DIMSE,))

    def archive(_tenant: Tenant, base: str) -> None:
        if base == DIMSE:
            raise ArchiveFailed("The archive gave no answer.")

    first, second = [one for one in checked(tenant, archive=archive) if one.check == "archive"]

    assert first.outcome is OK and PACS in first.text
    assert second.outcome is FAILED and DIMSE in second.advice and "AE title" in second.advice


def test_an_archive_that_refuses_us_leads_to_its_credentials() -> None:
    said = said_of("archive", archive=raising(ArchiveRefused("The archive does not let us read.")))

    assert said.outcome is FAILED and "sightline archive credential" in said.advice


def test_no_archive_is_not_set_up() -> None:
    said = said_of("archive", a_tenant(archive_base=None))

    assert said.outcome is NOT_SET_UP and "--archive" in said.advice


def test_the_change_feed_of_an_open_door_is_tried() -> None:
    fed = a_tenant(doors=(Door.ORTHANC_CHANGES,), change_feed="https://pacs.example.org")

    assert "change-feed" not in {one.check for one in checked()}
    assert said_of("change-feed", fed).outcome is OK
    said = said_of("change-feed", fed, feed=raising(ArchiveFailed("It answered HTTP 404.")))
    assert said.outcome is FAILED and "--feed" in said.advice


# --- our own side -------------------------------------------------------------------------------


def test_no_enabled_model_fails_and_so_does_one_that_cannot_be_read() -> None:
    assert said_of("models", models=lambda _: 0).outcome is FAILED
    assert said_of("models", models=raising(ModelMissing("No model x."))).outcome is FAILED


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("https://ai.example.org", OK),
        ("http://127.0.0.1:8000", OK),
        ("http://localhost:8000", OK),
        ("http://[::1]:8000", OK),
        ("http://ai.example.org", FAILED),
        ("http://localhost.example.org", FAILED),
    ],
)
def test_the_public_address_is_https_or_this_machine(url: str, outcome: Outcome) -> None:
    here = an_installation(public_url=url)

    assert said_of("public-url", installation=here).outcome is outcome


def test_own_keys_that_cannot_be_reached_from_here_are_a_warning_only() -> None:
    here = an_installation(publishes_our_keys=raising(UpstreamFailed("It could not be reached.")))

    said = said_of("own-keys", installation=here)

    assert said.outcome is WARNING and "https://ai.example.org/app/.well-known/jwks" in said.text


def test_the_keys_of_another_installation_fail() -> None:
    said = said_of("own-keys", installation=an_installation(publishes_our_keys=lambda _: False))

    assert said.outcome is FAILED and "SIGHTLINE_SIGNING_KEY_FILE" in said.advice


def test_without_redis_it_is_not_said_that_no_worker_lives() -> None:
    silent = an_installation(workers=raising(DoorbellSilent("Redis gave no answer.")))

    lines = {one.check: one for one in checked(installation=silent)}

    assert lines["redis"].outcome is FAILED and "SIGHTLINE_REDIS_URL" in lines["redis"].advice
    assert "workers" not in lines


def test_without_a_worker_it_is_said_how_to_start_one() -> None:
    said = said_of("workers", installation=an_installation(workers=lambda: 0))

    assert said.outcome is FAILED and "sightline worker" in said.advice


def test_without_the_services_settings_its_own_side_is_not_judged() -> None:
    lines = {one.check: one for one in checked(installation=None)}

    assert lines["public-url"].outcome is NOT_SET_UP
    assert not {"own-keys", "redis", "workers"} & lines.keys()
