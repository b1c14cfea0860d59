"""ImagingStudy and Patient JSON, from real and from hostile records."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.fhir.imaging_study import endpoint_ids, logical_id, patient_in, studies_in

UID = "1.2.840.99999.1"


def a_study_resource(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": "s-1",
        "status": "available",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"}],
        "subject": {"reference": "Patient/p-1"},
        "started": "2026-01-02T08:30:00Z",
        "numberOfSeries": 1,
        "numberOfInstances": 2,
        "series": [
            {
                "uid": f"{UID}.1",
                "modality": {"code": "dx"},
                "bodySite": {"system": "http://snomed.info/sct", "code": "51185008"},
            }
        ],
    } | changes


def a_bundle(*found: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in found]}


def test_a_study_keeps_what_the_ehr_states() -> None:
    (study,) = studies_in(a_bundle(a_study_resource()), "t-1", "p-1")

    assert study.study_uid == UID and study.imaging_study_id == "s-1"
    assert study.started == datetime(2026, 1, 2, 8, 30, tzinfo=UTC)
    assert study.modalities == ("DX",) and study.series[0].body_sites == ("51185008",)
    assert (study.series_count, study.instance_count) == (1, 2)


@pytest.mark.parametrize(
    "identifier",
    [
        {"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"},
        {"system": "urn:dicom:uid", "value": UID},
        {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{UID}"},
    ],
)
def test_a_study_uid_is_read_in_every_form_that_ehrs_write(identifier: dict[str, str]) -> None:
    (study,) = studies_in(a_study_resource(identifier=[identifier]), "t-1", "p-1")

    assert study.study_uid == UID


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": {"reference": "Patient/p-2"}},
        {"subject": {"reference": "urn:uuid:p-1"}},
        {"subject": {"reference": "Group/p-1"}},
        {"subject": None},
        {"identifier": []},
        {"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:not.a.uid"}]},
        {"identifier": [{"system": "urn:dicom:uid", "value": "1." + "2" * 70}]},
        {"identifier": [{"system": "http://hospital/acsn", "value": UID}]},
        {"status": "entered-in-error"},
        {"status": "registered"},
    ],
)
def test_a_study_that_cannot_be_trusted_is_left_out(changes: dict[str, Any]) -> None:
    assert studies_in(a_study_resource(**changes), "t-1", "p-1") == []


def test_an_absolute_subject_is_this_patient_as_epic_writes_it() -> None:
    subject = {"reference": "https://ehr.example.org/fhir/Patient/p-1"}

    assert studies_in(a_study_resource(subject=subject), "t-1", "p-1")


ENDPOINT = {
    "resourceType": "Endpoint",
    "id": "e",
    "connectionType": {"code": "dicom-wado-rs"},
    "address": "https://pacs.example.org/dicom-web/",
}


def an_answer(study: dict[str, Any], endpoint: dict[str, Any], full_url: str) -> dict[str, Any]:
    """A study and an Endpoint beside it, as the EHR names that."""
    bundle = a_bundle(study, endpoint)
    bundle["entry"][1]["fullUrl"] = full_url
    return bundle


@pytest.mark.parametrize(
    "reference",
    [
        *("#e", "Endpoint/e", "Endpoint/e/_history/2"),
        *("https://ehr.example.org/Endpoint/e", "https://ehr.example.org/Endpoint/e/_history/2"),
    ],
)
def test_the_archive_is_the_dicomweb_endpoint_of_the_study(reference: str) -> None:
    contained = [ENDPOINT] if reference == "#e" else []
    study = a_study_resource(endpoint=[{"reference": reference}], contained=contained)
    answer = an_answer(study, ENDPOINT, "https://ehr.example.org/Endpoint/e")

    (found,) = studies_in(answer, "t-1", "p-1")

    assert found.archive_url == "https://pacs.example.org/dicom-web"


def test_a_reference_that_names_nothing_is_no_endpoint_beside_the_study() -> None:
    study = a_study_resource(endpoint=[{"display": "the archive"}])

    (found,) = studies_in(a_bundle(study, ENDPOINT), "t-1", "p-1")

    assert found.archive_url is None


def test_an_endpoint_of_another_server_is_not_the_one_with_its_id_beside_the_study() -> None:
    study = a_study_resource(endpoint=[{"reference": "https://other.example.org/Endpoint/e"}])
    answer = an_answer(study, ENDPOINT, "https://ehr.example.org/Endpoint/e")

    (found,) = studies_in(answer, "t-1", "p-1")

    assert found.archive_url is None


@pytest.mark.parametrize(
    ("reference", "ids"),
    [
        ("Endpoint/e", ["e"]),
        ("Endpoint/e/_history/2", ["e"]),
        ("https://ehr.example.org/fhir/Endpoint/e", ["e"]),
        ("https://EHR.example.org/fhir/Endpoint/e/_history/2", ["e"]),
        ("https://other.example.org/fhir/Endpoint/e", []),
        ("https://ehr.example.org/other/Endpoint/e", []),
        ("https://ehr.example.org/fhir/more/Endpoint/e", []),
        ("https://ehr.example.org.evil.example/fhir/Endpoint/e", []),
        ("http://ehr.example.org/fhir/Endpoint/e", []),
        ("//ehr.example.org/fhir/Endpoint/e", []),
        ("urn:uuid:e/Endpoint/e", []),
        ("Practitioner/e", []),
    ],
)
def test_only_an_endpoint_of_this_ehr_is_read_from_it(reference: str, ids: list[str]) -> None:
    study = a_study_resource(endpoint=[{"reference": reference}])

    assert endpoint_ids(study, UID, "https://ehr.example.org/fhir") == ids


def test_an_endpoint_of_another_kind_is_no_archive(shared_data: Path) -> None:
    endpoint = json.loads((shared_data / "fhir" / "endpoint-example.json").read_text())
    study = a_study_resource(endpoint=[{"reference": "Endpoint/example"}])

    (found,) = studies_in(a_bundle(study, endpoint), "t-1", "p-1")

    assert found.archive_url is None


def test_an_outcome_entry_is_no_study() -> None:
    epic_empty = {
        "resourceType": "Bundle",
        "total": 0,
        "entry": [
            {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
        ],
    }

    assert studies_in(epic_empty, "t-1", "p-1") == []


def test_the_specification_s_own_example_is_read(shared_data: Path) -> None:
    example = json.loads((shared_data / "fhir" / "imagingstudy-example.json").read_text())

    (study,) = studies_in(example, "t-1", "dicom")

    assert study.study_uid == "2.16.124.113543.6003.1154777499.30246.19789.3503430045"
    assert study.modalities == ("CT",) and study.started is not None


def test_synthea_s_studies_are_read_and_those_of_other_subjects_are_not(shared_data: Path) -> None:
    (path,) = (shared_data / "fhir").glob("Clorinda_*.json")
    entries = json.loads(path.read_text())["entry"]
    studies = [e["resource"] for e in entries if e["resource"]["resourceType"] == "ImagingStudy"]
    for one in studies:
        one["subject"] = {"reference": "Patient/p-1"}
    studies[0]["subject"] = {"reference": "Patient/p-2"}

    found = studies_in(a_bundle(*studies), "t-1", "p-1")

    assert len(found) == 8
    assert {modality for one in found for modality in one.modalities} >= {"DX", "CR"}


def test_a_patient_s_facts_are_what_identifies_the_images() -> None:
    resource = {
        "resourceType": "Patient",
        "id": "p-1",
        "birthDate": "2022-06-01",
        "gender": "male",
        "identifier": [{"value": "MRN-1"}, {"system": "no value"}],
    }

    facts = patient_in(resource, "p-1")

    assert facts is not None and facts.identifiers == ("MRN-1",)
    assert facts.birth_date == date(2022, 6, 1) and facts.sex == "male"


def test_another_patient_is_nobody() -> None:
    assert patient_in({"resourceType": "Patient", "id": "p-2"}, "p-1") is None


@pytest.mark.parametrize("value", ["2022", "2022-06", "yesterday", 5, None])
def test_a_partial_birth_date_is_not_stated(value: object) -> None:
    facts = patient_in({"resourceType": "Patient", "id": "p-1", "birthDate": value}, "p-1")

    assert facts is not None and facts.birth_date is None
    assert facts.born_in == (value if value in ("2022", "2022-06") else "")


def test_each_number_has_the_issuer_that_its_system_names() -> None:
    identifiers = [
        {"system": "urn:oid:1.2.36.146", "value": "1"},
        {"system": "urn:oid:1.2.3"},
        {"system": "https://hospital.example.org/mrn", "value": "2"},
        {"value": "3"},
    ]
    resource = {"resourceType": "Patient", "id": "p-1", "identifier": identifiers, "gender": "Male"}

    facts = patient_in(resource, "p-1")

    assert facts is not None and facts.sex == "male"
    assert (facts.identifiers, facts.issuers) == (("1", "2", "3"), ("1.2.36.146", "", ""))


def test_a_logical_id_is_cut_without_version() -> None:
    assert logical_id({"reference": "Patient/p-1/_history/3"}, "Patient") == "p-1"


def odd_series(odd: object) -> list[object]:
    return [odd, {"uid": odd, "modality": odd, "bodySite": {"system": odd}, "endpoint": [odd]}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(key=st.sampled_from(sorted(a_study_resource())), value=json_values)
def test_any_odd_element_costs_at_most_the_study(key: str, value: object) -> None:
    odd = a_study_resource(**{key: value})

    studies = studies_in(a_bundle(odd, a_study_resource()), "t", "p-1")

    assert 1 <= len(studies) <= 2


@given(odd=json_values)
def test_an_odd_element_further_down_costs_no_more(odd: object) -> None:
    study = a_study_resource(
        series=odd_series(odd),
        endpoint=[{"reference": "#e"}],
        contained=[{"id": "e", "connectionType": {"code": "dicom-wado-rs"}, "address": odd}],
        identifier=[{"system": odd, "value": odd}, *a_study_resource()["identifier"]],
    )

    (found,) = studies_in(study, "t", "p-1")

    assert found.study_uid == UID


def test_every_accession_number_of_a_study_is_kept() -> None:
    kind = {"coding": [{"code": "ACSN"}]}
    numbers = [{"type": kind, "value": value} for value in ("A-1", "A-2", "A-1", "", 7)]
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"}

    (study,) = studies_in(a_study_resource(identifier=[uid, *numbers]), "t-1", "p-1")

    assert study.accession == "A-1" and study.accessions == ("A-1", "A-2")


def test_each_name_of_a_patient_is_read_whatever_its_shape() -> None:
    names = [
        {"family": "Meier", "given": ["Anna", None, "Maria"]},
        {"text": "Anna Smith"},
        {"given": "Anna"},
        "Anna",
    ]

    facts = patient_in({"resourceType": "Patient", "id": "p-1", "name": names}, "p-1")

    assert facts is not None and facts.names == ("Meier Anna Maria", "Anna Smith")
    assert "Meier" not in repr(facts)
