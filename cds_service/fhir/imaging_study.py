"""ImagingStudy and Patient: FHIR R4 JSON from an EHR to our references and facts.

Read by hand and not with an object model: one odd element of a real record must cost that element
alone, and a hook has 15 ms. What is not of the right type is treated as not stated.

Source: FHIR R4 ImagingStudy, Patient, Endpoint; FHIR R4 "Imaging Study Implementation Notes"
(the study UID is `urn:dicom:uid` with an `urn:oid:` value).
"""

import re
from collections.abc import Iterator
from datetime import date, datetime

from cds_service.domain.study import PatientFacts, SeriesReference, StudyReference
from cds_service.fhir.elements import Json, instant_in, object_in, objects_in, text_in

UID_SYSTEMS = frozenset({"urn:dicom:uid", "urn:ietf:rfc:3986"})
ACCESSION_TYPE = "ACSN"  # v2-0203 identifier type
WADO_RS = "dicom-wado-rs"  # endpoint-connection-type
SNOMED = "http://snomed.info/sct"
MAX_STUDIES = 200  # of one answer; a hook considers three
MAX_ENDPOINTS = 3  # of one study that are read
# A study that is registered has no images yet; the other two are withdrawn.
_WITHOUT_IMAGES = frozenset({"registered", "cancelled", "entered-in-error"})
_UID = re.compile(r"(?:urn:oid:)?(?P<uid>[0-2](?:\.(?:0|[1-9][0-9]*))+)")
_PARTIAL_DATE = re.compile(r"\d{4}(?:-\d{2})?")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def resources(document: Json) -> Iterator[Json]:
    """Yield the resource, or those of a Bundle that match; outcome entries are left out."""
    if document.get("resourceType") != "Bundle":
        yield document
        return
    for entry in objects_in(document.get("entry")):
        resource = object_in(entry.get("resource"))
        if text_in(resource.get("resourceType")) not in {"", "OperationOutcome"}:
            yield resource


def studies_in(document: Json, tenant_id: str, patient_id: str) -> list[StudyReference]:
    """Return the studies of this patient that have images, in the order of the document.

    Studies of another subject, without a study UID, or withdrawn are left out: a reference that
    cannot be trusted is not a study.
    """
    endpoints = _included_endpoints(document)
    studies: list[StudyReference] = []
    for resource in resources(document):
        if resource.get("resourceType") == "ImagingStudy" and len(studies) < MAX_STUDIES:
            study = _study(resource, endpoints, tenant_id, patient_id)
            if study is not None:
                studies.append(study)
    return studies


def stated_in(
    resource: Json, tenant_id: str, study_uid: str | None = None
) -> StudyReference | None:
    """Return the study of one ImagingStudy, whoever its patient is; None as `studies_in` does.

    study_uid   of a resource that states none: what it was found by names only one study
    """
    patient_id = logical_id(resource.get("subject"), "Patient")
    if resource.get("resourceType") != "ImagingStudy" or patient_id is None:
        return None
    if study_uid is not None:
        named = {"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid}"}
        resource = {**resource, "identifier": [*objects_in(resource.get("identifier")), named]}
    return _study(resource, {}, tenant_id, patient_id)


def last_updated(resource: Json) -> datetime | None:
    """Return when the EHR last changed this resource, by its own clock."""
    return instant_in(object_in(resource.get("meta")).get("lastUpdated"))


def withdrawn_in(document: Json) -> set[str]:
    """Return the UIDs of the studies that the EHR has withdrawn, whoever's they are."""
    found = (one for one in resources(document) if one.get("resourceType") == "ImagingStudy")
    uids = (_study_uid(one) for one in found if text_in(one.get("status")) in _WITHOUT_IMAGES)
    return {uid for uid in uids if uid is not None}


def patient_in(document: Json, patient_id: str) -> PatientFacts | None:
    """Return who the patient is, or None when the document is not this Patient."""
    for resource in resources(document):
        if resource.get("resourceType") == "Patient" and resource.get("id") == patient_id:
            listed = objects_in(resource.get("identifier"))
            numbered = [one for one in listed if text_in(one.get("value"))]
            born = text_in(resource.get("birthDate"))
            return PatientFacts(
                patient_id=patient_id,
                identifiers=tuple(text_in(one["value"]) for one in numbered),
                birth_date=_day(born),
                sex=text_in(resource.get("gender")).lower() or None,
                names=tuple(filter(None, map(_name, objects_in(resource.get("name"))))),
                issuers=tuple(_oid(one.get("system")) for one in numbered),
                born_in=born if _PARTIAL_DATE.fullmatch(born) else "",
            )
    return None


def endpoint_ids(document: Json, study_uid: str, fhir_base: str) -> list[str]:
    """Return the ids of the first Endpoints that this study refers to, to be read from the EHR.

    A viewer's may stand before the archive's: which is which, only the Endpoint says. Those of
    another server are left out: at the EHR their id may be another's.

    fhir_base   of the EHR, without a trailing slash
    """
    for resource in resources(document):
        if resource.get("resourceType") == "ImagingStudy" and _study_uid(resource) == study_uid:
            named = _endpoint_references(resource)
            listed = (logical_id(one, "Endpoint") for one in named if _is_at(fhir_base, one))
            return list(dict.fromkeys(one for one in listed if one))[:MAX_ENDPOINTS]
    return []


def has_identifier(resource: Json, system: str, value: str) -> bool:
    """Tell whether this is one of the resource's identifiers; system "" stands for any."""
    return any(
        one.get("value") == value and (not system or one.get("system") == system)
        for one in objects_in(resource.get("identifier"))
    )


def archive_address(endpoint: Json) -> str | None:
    """Return the address of a dicom-wado-rs Endpoint, without a trailing slash; else None."""
    is_wado = object_in(endpoint.get("connectionType")).get("code") == WADO_RS
    address = text_in(endpoint.get("address")).rstrip("/")
    is_http = address.startswith(("http://", "https://"))
    return address if is_wado and is_http else None


def logical_id(reference: object, resource_type: str) -> str | None:
    """Cut the id out of "Type/id", absolute or relative, with or without a version."""
    parts = _unversioned(object_in(reference)).rsplit("/", 2)
    if len(parts) < 2 or parts[-2] != resource_type or not _ID.fullmatch(parts[-1]):
        return None
    return parts[-1]


def accession_values(identifiers: object) -> Iterator[str]:
    """Yield the accession numbers among a resource's identifiers: those of type ACSN."""
    for identifier in objects_in(identifiers):
        codings = objects_in(object_in(identifier.get("type")).get("coding"))
        value = text_in(identifier.get("value"))
        if value and any(coding.get("code") == ACCESSION_TYPE for coding in codings):
            yield value


def _study(
    resource: Json, endpoints: dict[str, Json], tenant_id: str, patient_id: str
) -> StudyReference | None:
    study_uid = _study_uid(resource)
    is_this_patient = logical_id(resource.get("subject"), "Patient") == patient_id
    status = text_in(resource.get("status"))
    if study_uid is None or not is_this_patient or status in _WITHOUT_IMAGES:
        return None
    series = tuple(_series(objects_in(resource.get("series"))))
    listed = (text_in(one.get("code")).upper() for one in objects_in(resource.get("modality")))
    modalities = dict.fromkeys([*listed, *(one.modality for one in series)])
    requests = (logical_id(ref, "ServiceRequest") for ref in objects_in(resource.get("basedOn")))
    own_id = text_in(resource.get("id"))
    accessions = tuple(dict.fromkeys(accession_values(resource.get("identifier"))))
    return StudyReference(
        tenant_id=tenant_id,
        study_uid=study_uid,
        patient_id=patient_id,
        imaging_study_id=own_id if _ID.fullmatch(own_id) else None,
        started=instant_in(resource.get("started")),
        description=text_in(resource.get("description")),
        modalities=tuple(modality for modality in modalities if modality),
        series=series,
        series_count=_count(resource.get("numberOfSeries")),
        instance_count=_count(resource.get("numberOfInstances")),
        archive_url=_archive_url(resource, endpoints),
        accession=next(iter(accessions), None),
        other_accessions=accessions[1:],
        service_request_id=next((one for one in requests if one), None),
    )


def _study_uid(resource: Json) -> str | None:
    for identifier in objects_in(resource.get("identifier")):
        match = _UID.fullmatch(text_in(identifier.get("value")))
        if text_in(identifier.get("system")) in UID_SYSTEMS and match and len(match["uid"]) <= 64:
            return match["uid"]
    return None


def _name(human_name: Json) -> str:
    """Return family and given names, or the text where only that is there."""
    given = human_name.get("given")
    parts = [human_name.get("family"), *(given if isinstance(given, list) else [])]
    return " ".join(filter(None, map(text_in, parts))) or text_in(human_name.get("text"))


def _series(listed: list[Json]) -> Iterator[SeriesReference]:
    for one in listed:
        uid = text_in(one.get("uid"))
        if not _UID.fullmatch(uid):
            continue
        site = object_in(one.get("bodySite"))
        code = text_in(site.get("code")) if site.get("system") == SNOMED else ""
        yield SeriesReference(
            uid=uid.removeprefix("urn:oid:"),
            modality=text_in(object_in(one.get("modality")).get("code")).upper(),
            body_sites=(code,) if code else (),
            instance_count=_count(one.get("numberOfInstances")),
        )


def _included_endpoints(document: Json) -> dict[str, Json]:
    """Return the Endpoints of a Bundle by what a reference to each may be (FHIR R4 Bundle)."""
    found: dict[str, Json] = {}
    for entry in objects_in(document.get("entry")):
        resource = object_in(entry.get("resource"))
        if resource.get("resourceType") == "Endpoint":
            for name in (text_in(entry.get("fullUrl")), f"Endpoint/{text_in(resource.get('id'))}"):
                found[name] = resource
    found.pop("", None)  # of an entry that has no address
    return found


def _archive_url(resource: Json, included: dict[str, Json]) -> str | None:
    """Return the address of the study's dicom-wado-rs Endpoint, contained or in the Bundle."""
    contained = {f"#{one.get('id')}": one for one in objects_in(resource.get("contained"))}
    for reference in _endpoint_references(resource):
        name = _unversioned(reference)
        found = contained.get(name) or included.get(name)
        address = None if found is None else archive_address(found)
        if address is not None:
            return address
    return None


def _endpoint_references(resource: Json) -> list[Json]:
    listed = objects_in(resource.get("endpoint"))
    for series in objects_in(resource.get("series")):
        listed += objects_in(series.get("endpoint"))
    return listed


def _is_at(fhir_base: str, reference: Json) -> bool:
    """Tell whether a reference is relative, or absolute and below this base."""
    name = _unversioned(reference)
    relative = "/".join(name.rsplit("/", 2)[-2:])
    return name == relative or _lowered(name) == _lowered(f"{fhir_base}/{relative}")


def _lowered(url: str) -> str:
    """Return it with scheme and host in small letters, as which they are the same (RFC 3986)."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower()}{slash}{path}"


def _unversioned(reference: Json) -> str:
    return text_in(reference.get("reference")).partition("/_history/")[0]


def _oid(system: object) -> str:
    """Return the OID that a system is, "" for any other URI."""
    match = _UID.fullmatch(text_in(system))
    return match["uid"] if match else ""


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(text_in(value))
    except ValueError:
        return None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1_000_000 else None
