"""The CapabilityStatement: exactly what this server does, made from the tables it runs on.

Source: FHIR R4 capabilitystatement.html; SMART App Launch 2.2 "Conformance".
"""

from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.fhir_references import HISTORIANS
from cds_service.sandbox.fhir_types import TYPES
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.search_parameters import PARAMETERS

_WRITTEN = "2026-11-22"  # when what follows last changed


def capability_statement(config: SandboxConfig) -> Resource:
    """Return the CapabilityStatement of this sandbox."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _WRITTEN,
        "kind": "instance",
        "software": {"name": "Sightline sandbox EHR"},
        "implementation": {
            "description": "A small, strict EHR for demonstrations and tests; synthetic data only",
            "url": config.fhir_base,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": _security(config),
                "resource": [_resource(type_) for type_ in TYPES if type_ not in config.lacks],
                "interaction": [{"code": "transaction"}],
            }
        ],
    }


def _security(config: SandboxConfig) -> Resource:
    oauth_uris = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [
            {"url": "authorize", "valueUri": f"{config.auth_base}/authorize"},
            {"url": "token", "valueUri": f"{config.auth_base}/token"},
            {"url": "introspect", "valueUri": f"{config.auth_base}/introspect"},
        ],
    }
    service = {
        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
        "code": "SMART-on-FHIR",
    }
    return {"extension": [oauth_uris], "service": [{"coding": [service]}]}


def _resource(type_: str) -> Resource:
    return {
        "type": type_,
        "interaction": [{"code": code} for code in ("read", "search-type", "create", "update")],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal"] if type_ in HISTORIANS else ["literal", "enforced"],
        "searchParam": [
            {"name": parameter.name, "type": parameter.kind}
            for parameter in PARAMETERS[type_].values()
        ],
    }
