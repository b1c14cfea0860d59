"""SMART Imaging Access: where a study's images are given for the launch's own token.

Source: Argonaut SMART Imaging Access (build 0.1.0, draft), profile smart-wado-endpoint with its
extension requires-access-token.
"""

from collections.abc import Iterator

from cds_service.fhir.elements import Json, objects_in
from cds_service.fhir.imaging_study import archive_address, logical_id, resources, studies_in

# The canonical's base has changed between builds; the name has not.
EXTENSION = "/requires-access-token"


def token_address(document: Json, study_uid: str, tenant_id: str, patient_id: str) -> str | None:
    """Return the DICOMweb base that takes the launch's token for this patient's study, or None.

    document   an ImagingStudy, or the Bundle of a search; its Endpoints are contained or in it
    """
    found = list(resources(document))
    for resource in found:
        studies = studies_in(resource, tenant_id, patient_id)
        if [study.study_uid for study in studies] != [study_uid]:
            continue
        for endpoint in _endpoints(resource, found):
            address = archive_address(endpoint)
            if address is not None and _requires_token(endpoint):
                return address
    return None


def _endpoints(study: Json, beside: list[Json]) -> Iterator[Json]:
    contained = objects_in(study.get("contained"))
    for reference in objects_in(study.get("endpoint")):
        name = reference.get("reference")
        for one in contained:
            if name == f"#{one.get('id')}":
                yield one
        for one in beside:
            own_id = one.get("id")
            if (
                one.get("resourceType") == "Endpoint"
                and logical_id(reference, "Endpoint") == own_id
            ):
                yield one


def _requires_token(endpoint: Json) -> bool:
    return any(
        str(extension.get("url", "")).endswith(EXTENSION) and extension.get("valueBoolean") is True
        for extension in objects_in(endpoint.get("extension"))
    )
