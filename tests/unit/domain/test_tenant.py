"""For whom a site opens the app, and who reviews."""

import pytest

from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Vendor
from tests.builders import a_tenant


@pytest.mark.parametrize(
    ("user", "opens"),
    [
        ("Practitioner/1", True),
        ("PractitionerRole/1", True),
        ("Patient/1", False),
        ("RelatedPerson/1", False),
        ("Person/1", False),
        (None, False),
    ],
)
def test_the_app_opens_for_clinicians_unless_the_site_says_otherwise(
    user: str | None, opens: bool
) -> None:
    assert a_tenant().opens_app_for(user) is opens
    assert a_tenant().lets_review(user) is opens


def test_a_rule_names_a_type_or_one_user() -> None:
    site = a_tenant(app_users=("Patient", "Practitioner/1"), reviewers=("Practitioner/1",))

    assert site.opens_app_for("Patient/9") and site.opens_app_for("Practitioner/1")
    assert not site.opens_app_for("Practitioner/11") and not site.lets_review("Practitioner/11")


def test_nobody_but_a_clinician_reviews_whatever_the_rule() -> None:
    assert not a_tenant(reviewers=("Patient", "Patient/1")).lets_review("Patient/1")


def test_a_limit_is_a_minute_at_least() -> None:
    with pytest.raises(ValueError, match="minute"):
        a_tenant(critical_limit_min=0)


def test_oracle_health_alone_is_known_to_have_no_imaging_studies() -> None:
    assert not a_tenant(vendor=Vendor.ORACLE).has_imaging_studies
    assert a_tenant().has_imaging_studies and a_tenant(vendor=Vendor.EPIC).has_imaging_studies


def test_a_symmetric_client_has_a_secret_and_no_other_has() -> None:
    with pytest.raises(ValueError, match="secret"):
        a_tenant(client_kind=ClientKind.SYMMETRIC)
    with pytest.raises(ValueError, match="secret"):
        a_tenant(client_secret=b"sealed")


@pytest.mark.parametrize(
    ("rule", "are_read"),
    [
        (("Practitioner", "PractitionerRole"), False),
        (("PractitionerRole/7",), True),
        (("Practitioner/1",), False),
    ],
)
def test_roles_are_read_only_where_a_rule_may_hold_by_them_alone(
    rule: tuple[str, ...], are_read: bool
) -> None:
    assert a_tenant(app_users=rule).names_roles is are_read
    assert a_tenant(reviewers=rule).names_roles is are_read
