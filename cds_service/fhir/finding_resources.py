"""A result as FHIR R4: one Observation per finding, with its report, device and provenance.

Everything goes into one transaction Bundle of conditional creates, so that a second run finds
the first. The identifiers come from the finding key (no digest, no version): a re-run with a new
model version names the same Observation.

Source: FHIR R4 Observation, DiagnosticReport, Device, Provenance; HL7 AI Transparency on FHIR
1.0.0-ballot (AI-Device, AI-Provenance, AIAST, AIconfidence); DICOM PS3.16 (DCM codes).
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid5

from fhir.resources.R4B.bundle import Bundle

from cds_service.domain.finding import (
    SIGHTLINE_NAMESPACE,
    AnalysisStatus,
    Finding,
    ModelIdentity,
    Result,
    finding_uuid,
    score_text,
    tracking_uid,
)

Json = dict[str, Any]

URI = "urn:ietf:rfc:3986"
SNOMED = "http://snomed.info/sct"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
UCUM = "http://unitsofmeasure.org"
AI_TRANSPARENCY = "http://hl7.org/fhir/uv/aitransparency"
# AI asserted, not merely contributed: the label that a consumer filters on.
AIAST: Json = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
AI_ROLE: Json = {
    "system": f"{AI_TRANSPARENCY}/CodeSystem/AIdeviceTypeCS",
    "code": "Artificial-Intelligence",
}
PRESENT: Json = {"system": SNOMED, "code": "52101004", "display": "Present"}
ABSENT: Json = {"system": SNOMED, "code": "272519000", "display": "Absent"}
INDETERMINATE: Json = {"system": SNOMED, "code": "82334004", "display": "Indeterminate"}
_VALUE = {True: (PRESENT, "POS"), False: (ABSENT, "NEG"), None: (INDETERMINATE, "IND")}


def finding_bundle(result: Result) -> Json:
    """Build the transaction Bundle that writes an analysed result to a FHIR R4 server.

    Entries, in order: Device, an Observation per finding, DiagnosticReport, Provenance; each
    has an `identifier` (Provenance: none in R4, so it targets the report and is made with it).
    Raises ValueError when the result holds no finding: there is nothing to write.
    """
    if result.analysis.status is not AnalysisStatus.ANALYSED or not result.analysis.findings:
        raise ValueError(f"result {result.id} has no finding to write")
    model = result.analysis.model
    device_url = f"urn:uuid:{device_uuid(model)}"
    observations = [
        (f"urn:uuid:{_uuid_of(result, finding)}", _observation(result, finding, device_url))
        for finding in result.analysis.findings
    ]
    report_url = f"urn:uuid:{report_uuid(result)}"
    report = _report(result, [url for url, _ in observations], report_url)
    provenance = _provenance(result, [report_url, *(u for u, _ in observations)], device_url)
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            _entry(device_url, ai_device(model)),
            *(_entry(url, resource) for url, resource in observations),
            _entry(report_url, report),
            _entry(f"urn:uuid:{uuid5(SIGHTLINE_NAMESPACE, 'provenance' + result.id)}", provenance),
        ],
    }
    Bundle.model_validate(bundle)
    return bundle


def device_uuid(model: ModelIdentity) -> UUID:
    """Name the AI device: one per model version and weights."""
    return uuid5(SIGHTLINE_NAMESPACE, f"device|{model.id}|{model.version}|{model.digest}")


def model_card_uuid(model: ModelIdentity) -> UUID:
    """Name the model card as a document: one per model version and weights."""
    return uuid5(SIGHTLINE_NAMESPACE, f"model card|{model.id}|{model.version}|{model.digest}")


def report_uuid(result: Result) -> UUID:
    """Name the report: one per tenant, study and model."""
    parts = (result.tenant_id, result.study_uid, result.analysis.model.id)
    return uuid5(SIGHTLINE_NAMESPACE, "report|" + "|".join(parts))


def ai_device(model: ModelIdentity) -> Json:
    """Describe the model as a Device (AI-Device profile: the type is exactly this coding)."""
    return {
        "resourceType": "Device",
        "extension": [model_card_extension(_model_card(model))],
        "identifier": [_identifier(device_uuid(model))],
        "status": "active",
        "manufacturer": "Sightline",
        "deviceName": [{"name": model.title or model.id, "type": "model-name"}],
        "modelNumber": model.id,
        "type": {"coding": [AI_ROLE]},
        "version": [{"value": model.version}],
        "property": [
            {
                "type": {"text": "SHA-256 of the weights"},
                "valueCode": [{"text": model.digest}],
            }
        ],
        "safety": [{"text": model.label}],
        "note": [{"text": model.label}],
    }


def model_card_extension(reference: Json) -> Json:
    """Point from an AI device at its model card."""
    return {
        "url": f"{AI_TRANSPARENCY}/StructureDefinition/aitransparency.modelCardDescription",
        "valueReference": reference,
    }


def _model_card(model: ModelIdentity) -> Json:
    """Refer to the model card by its identifier: it lies on our FHIR endpoint, not at the EHR."""
    return {
        "type": "DocumentReference",
        "identifier": _identifier(model_card_uuid(model)),
        "display": f"Model card of {model.title or model.id}, version {model.version}",
    }


def _uuid_of(result: Result, finding: Finding) -> UUID:
    return finding_uuid(
        result.tenant_id, result.study_uid, result.analysis.model.id, finding.coding.code
    )


def _observation(result: Result, finding: Finding, device_url: str) -> Json:
    """Build the preliminary Observation; a clinician's verification makes it final."""
    name = _uuid_of(result, finding)
    value, interpretation = _VALUE[finding.present]
    model = result.analysis.model
    observation: Json = {
        "resourceType": "Observation",
        "meta": {"security": [AIAST]},
        "extension": [
            {
                "url": f"{AI_TRANSPARENCY}/StructureDefinition/AIconfidence",
                "valueDecimal": round(finding.probability, 4),
            }
        ],
        "identifier": [
            _identifier(name),
            {"system": "urn:dicom:uid", "value": f"urn:oid:{tracking_uid(name)}"},
        ],
        "status": "preliminary",
        "category": [_category()],
        "code": {
            "coding": [
                {
                    "system": finding.coding.system,
                    "code": finding.coding.code,
                    "display": finding.coding.display,
                }
            ],
            "text": finding.coding.display,
        },
        "subject": {"reference": f"Patient/{result.patient_id}"},
        "issued": result.computed_at.isoformat(),
        "performer": [_ai_performer(device_url, model)],
        "device": {"reference": device_url, "display": model.title or model.id},
        "valueCodeableConcept": {"coding": [value], "text": value["display"]},
        "interpretation": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/"
                        "v3-ObservationInterpretation",
                        "code": interpretation,
                    }
                ]
            }
        ],
        "method": {
            "coding": [{"system": DCM, "code": "110004", "display": "Computer Aided Detection"}]
        },
        "note": [{"text": f"{model.label} Model {model.id} {model.version}."}],
        "component": [
            _number("122157", "Probability", finding.probability),
            _number("122411", "Threshold Value", finding.threshold),
        ],
    }
    if finding.body_site is not None:
        observation["bodySite"] = {"coding": [asdict(finding.body_site)]}
    if result.study_started is not None:
        observation["effectiveDateTime"] = result.study_started.isoformat()
    if result.imaging_study_id is not None:
        study = _study_reference(result)
        observation |= {"partOf": [study], "derivedFrom": [study]}
    return observation


def _report(result: Result, observation_urls: list[str], url: str) -> Json:
    report: Json = {
        "resourceType": "DiagnosticReport",
        "meta": {"security": [AIAST]},
        "identifier": [_identifier(UUID(url.removeprefix("urn:uuid:")))],
        "status": "preliminary",
        "category": [
            {
                "coding": [
                    {"system": "http://loinc.org", "code": "LP29684-5", "display": "Radiology"}
                ]
            }
        ],
        "code": {
            "coding": [
                {
                    "system": "http://loinc.org",
                    "code": "18748-4",
                    "display": "Diagnostic imaging study",
                }
            ],
            "text": "AI analysis of a radiograph",
        },
        "subject": {"reference": f"Patient/{result.patient_id}"},
        "issued": result.computed_at.isoformat(),
        "result": [{"reference": observation_url} for observation_url in observation_urls],
        "conclusion": _conclusion(result),
    }
    if result.study_started is not None:
        report["effectiveDateTime"] = result.study_started.isoformat()
    if result.imaging_study_id is not None:
        report["imagingStudy"] = [_study_reference(result)]
    return report


def _conclusion(result: Result) -> str:
    says = {True: "signs of {}", False: "no signs of {}", None: "uncertain about {}"}
    parts = [
        f"{says[finding.present].format(finding.coding.display.lower())}"
        f" (AI score {score_text(finding.probability)}, threshold {finding.threshold:.2f})"
        for finding in result.analysis.findings
    ]
    return f"AI: {'; '.join(parts)}. Not verified by a clinician. {result.analysis.model.label}"


def _provenance(result: Result, target_urls: list[str], device_url: str) -> Json:
    participant = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
    provenance: Json = {
        "resourceType": "Provenance",
        "target": [{"reference": url} for url in target_urls],
        "recorded": result.computed_at.isoformat(),
        "reason": [{"coding": [AIAST]}],
        "agent": [
            {
                "type": {"coding": [{"system": participant, "code": "author"}]},
                "role": [{"coding": [AI_ROLE]}],
                "who": {"reference": device_url},
            }
        ],
        "entity": [{"role": "derivation", "what": _model_card(result.analysis.model)}],
    }
    if result.imaging_study_id is not None:
        provenance["entity"].append({"role": "source", "what": _study_reference(result)})
    return provenance


def _entry(full_url: str, resource: Json) -> Json:
    """Make a conditional create out of a resource that has an identifier."""
    request: Json = {"method": "POST", "url": resource["resourceType"]}
    for identifier in resource.get("identifier", [])[:1]:
        request["ifNoneExist"] = f"identifier={identifier['system']}|{identifier['value']}"
    return {"fullUrl": full_url, "resource": resource, "request": request}


def _identifier(name: UUID) -> Json:
    return {"system": URI, "value": f"urn:uuid:{name}"}


def _category() -> Json:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {"coding": [{"system": system, "code": "imaging", "display": "Imaging"}]}


def _number(code: str, display: str, value: float) -> Json:
    return {
        "code": {"coding": [{"system": DCM, "code": code, "display": display}]},
        "valueQuantity": {"value": round(value, 4), "unit": "1", "system": UCUM, "code": "1"},
    }


def _ai_performer(device_url: str, model: ModelIdentity) -> Json:
    # Observation.performer cannot be a Device in R4; HL7's extension for exactly this case.
    return {
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/alternate-reference",
                "valueReference": {"reference": device_url},
            }
        ],
        "display": model.title or model.id,
    }


def _study_reference(result: Result) -> Json:
    return {
        "reference": f"ImagingStudy/{result.imaging_study_id}",
        "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{result.study_uid}"},
    }


def references_in(resource: object) -> Iterator[Json]:
    """Yield every Reference object inside a resource, so that urn:uuid ones can be resolved."""
    if isinstance(resource, dict):
        if isinstance(resource.get("reference"), str):
            yield resource
        for value in resource.values():
            yield from references_in(value)
    elif isinstance(resource, list):
        for value in resource:
            yield from references_in(value)
