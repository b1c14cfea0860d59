"""The sandbox's rows as FHIR R4 resources, ready for one transaction per patient.

Source: FHIR R4 Patient, Practitioner, Encounter, ServiceRequest, ImagingStudy, Endpoint;
imagingstudy.html#notes (Study Instance UID as an identifier of system urn:dicom:uid).
"""

from datetime import date

from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation

from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.patients import (
    ACCESSION_SYSTEM,
    CLINICIAN_NAME,
    MRN_SYSTEM,
    PatientRow,
    Picture,
    StudyRow,
)
from cds_service.sandbox.radiographs import CT_SLICES

ENDPOINT_ID = "dicom-web"
RADIOLOGIST_ID = "radiologist"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
_V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
_SEXES = {"F": "female", "M": "male"}
_PROCEDURES = {
    "DX": ("36554-4", "XR Chest Single view"),
    "CT": ("29252-4", "CT Chest WO contrast"),
}


def house(config: SandboxConfig) -> list[Resource]:
    """Return what belongs to no patient: the clinician, radiology and the archive's Endpoint."""
    given, family = CLINICIAN_NAME.split()
    return [
        {
            "resourceType": "Practitioner",
            "id": config.clinician.removeprefix("Practitioner/"),
            "active": True,
            "name": [{"family": family, "given": [given], "prefix": ["Dr."]}],
        },
        {
            "resourceType": "Practitioner",
            "id": RADIOLOGIST_ID,
            "active": True,
            "name": [{"text": "Radiology desk"}],
        },
        {
            "resourceType": "Endpoint",
            "id": ENDPOINT_ID,
            "status": "active",
            "connectionType": {
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                "code": "dicom-wado-rs",
            },
            "name": "Sandbox archive",
            "payloadType": [{"text": "DICOM studies"}],
            "payloadMimeType": ["application/dicom"],
            "address": config.archive_base,
        },
    ]


def chart(row: PatientRow, config: SandboxConfig, today: date) -> list[Resource]:
    """Return the patient's resources, what is referred to before what refers to it."""
    encounter = visit(row.id, row.reason, config.clinician, today.isoformat())
    resources = [_patient(row, today), {**encounter, "id": f"{row.id}-visit"}]
    for study in row.studies:
        resources.append(_order(row, study, config, today))
        if "ImagingStudy" not in config.lacks:
            resources.append(_imaging_study(row, study, today))
    return resources


def _patient(row: PatientRow, today: date) -> Resource:
    person = row.person
    mrn = {"coding": [{"system": _V2_0203, "code": "MR"}]}
    return {
        "resourceType": "Patient",
        "id": row.id,
        "identifier": [
            {
                "use": "usual",
                "type": mrn,
                "system": MRN_SYSTEM,
                "value": person.mrn,
                "assigner": {"display": "SANDBOX"},
            }
        ],
        "active": True,
        "name": [{"use": "official", "family": person.family, "given": [person.given]}],
        "gender": _SEXES[person.sex],
        "birthDate": person.birth_date(today).isoformat(),
    }


def visit(patient_id: str, reason: str, clinician: str, start: str) -> Resource:
    """Return an Encounter in progress, without an id; `start` is a FHIR dateTime."""
    return {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": "AMB",
            "display": "ambulatory",
        },
        "subject": {"reference": f"Patient/{patient_id}"},
        "participant": [{"individual": {"reference": clinician}}],
        "period": {"start": start},
        "reasonCode": [{"text": reason}],
    }


def _order(row: PatientRow, study: StudyRow, config: SandboxConfig, today: date) -> Resource:
    code, display = _PROCEDURES[study.modality]
    return {
        "resourceType": "ServiceRequest",
        "id": f"{row.id}-{study.accession}",
        "identifier": [_accession(study)],
        "status": "completed",
        "intent": "order",
        "code": {
            "coding": [{"system": LOINC, "code": code, "display": display}],
            "text": study.description,
        },
        "subject": {"reference": f"Patient/{row.id}"},
        "authoredOn": study.started(today).isoformat(),
        "requester": {"reference": config.clinician},
    }


def _imaging_study(row: PatientRow, study: StudyRow, today: date) -> Resource:
    count = CT_SLICES if study.picture is Picture.SECTIONS else 1
    started = study.started(today).isoformat()
    return {
        "resourceType": "ImagingStudy",
        "id": f"{row.id}-study-{study.accession}",
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:{study.uid(today)}"},
            _accession(study),
        ],
        "status": "available",
        "modality": [{"system": _DCM, "code": study.modality}],
        "subject": {"reference": f"Patient/{row.id}"},
        "started": started,
        "basedOn": [{"reference": f"ServiceRequest/{row.id}-{study.accession}"}],
        "endpoint": [{"reference": f"Endpoint/{ENDPOINT_ID}"}],
        "numberOfSeries": 1,
        "numberOfInstances": count,
        "description": study.description,
        "series": [_series(study, today, count)],
    }


def _series(study: StudyRow, today: date, count: int) -> Resource:
    is_ct = study.modality == "CT"
    sop_class = CTImageStorage if is_ct else DigitalXRayImageStorageForPresentation
    return {
        "uid": study.series_uid(today),
        "number": 1,
        "modality": {"system": _DCM, "code": study.modality},
        "description": study.description,
        "numberOfInstances": count,
        "bodySite": {"system": SNOMED, "code": "51185008", "display": "Thoracic structure"},
        "started": study.started(today).isoformat(),
        "instance": [
            {
                "uid": study.instance_uid(today, number),
                "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{sop_class}"},
                "number": number,
            }
            for number in range(1, count + 1)
        ],
    }


def _accession(study: StudyRow) -> Resource:
    return {
        "type": {"coding": [{"system": _V2_0203, "code": "ACSN"}]},
        "system": ACCESSION_SYSTEM,
        "value": study.accession,
    }
