"""SMART Imaging Access: the patient's studies, each with where its images are for this very token.

A study that the archive does not hold has no Endpoint here.

Source: Argonaut SMART Imaging Access (build 0.1.0, draft), profile smart-wado-endpoint.
"""

from flask import Blueprint, Response, request

from cds_service.sandbox.bearer import require_access
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.fhir_messages import json_response, require_acceptable
from cds_service.sandbox.outcomes import MalformedRequest, Resource, ScopeDenied
from cds_service.sandbox.parts import sandbox_parts

_EXTENSION = "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token"

blueprint = Blueprint("imaging_access", __name__, url_prefix="/imaging")


@blueprint.get("/ImagingStudy")
def studies() -> Response:
    """Answer the search for one patient's studies, which this server takes and no other."""
    require_acceptable()
    parts = sandbox_parts()
    allowed = require_access(parts.authorization.audiences).confinement("s", "ImagingStudy")
    wanted = request.args.get("patient", "").removeprefix("Patient/")
    if not wanted:
        raise MalformedRequest("patient is required")
    if allowed not in (None, f"Patient/{wanted}"):
        raise ScopeDenied("this token is for another patient")
    found = [
        _with_endpoint(study, parts.config)
        for study in parts.fhir.search("ImagingStudy", {"patient": f"Patient/{wanted}"})
    ]
    return json_response(
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "entry": [{"resource": study, "search": {"mode": "match"}} for study in found],
        }
    )


def _with_endpoint(study: Resource, config: SandboxConfig) -> Resource:
    bare = {name: value for name, value in study.items() if name != "endpoint"}
    uids = (
        one["value"].removeprefix("urn:oid:")
        for one in study.get("identifier", ())
        if one.get("system") == "urn:dicom:uid"
    )
    if not any(sandbox_parts().archive.instances(uid) for uid in uids):
        return bare
    endpoint = {
        "resourceType": "Endpoint",
        "id": "images",
        "extension": [{"url": _EXTENSION, "valueBoolean": True}],
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "dicom-wado-rs",
        },
        "payloadType": [{"text": "DICOM studies"}],
        "address": config.archive_base,
    }
    return {**bare, "contained": [endpoint], "endpoint": [{"reference": "#images"}]}
