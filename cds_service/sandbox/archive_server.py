"""The DICOMweb archive of the sandbox: QIDO-RS, WADO-RS and STOW-RS.

Source: DICOM PS3.18 10.4 (retrieve), 10.5 (store), 10.6 (search), annex I (store response).
"""

import json
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.http import parse_options_header

from cds_service.sandbox.archive_index import Level, rows_of
from cds_service.sandbox.archive_search import parse_archive_query
from cds_service.sandbox.archive_store import InstanceRefused, StoredInstance
from cds_service.sandbox.bearer import require_access
from cds_service.sandbox.multipart import DICOM, NotMultipart, read_parts, write_parts
from cds_service.sandbox.outcomes import (
    MalformedRequest,
    NotAcceptable,
    NotFound,
    ScopeDenied,
    UnsupportedMedia,
)
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.scopes import Letter

BODY_LIMIT = 64 * 1024 * 1024  # bytes
DICOM_JSON = "application/dicom+json"
_JSON_RANGES = frozenset({DICOM_JSON, "application/json", "application/*", "*/*"})

blueprint = Blueprint("archive", __name__, url_prefix="/dicom-web")


@blueprint.before_request
def bound_body() -> None:
    """Read no more than one store request may hold."""
    request.max_content_length = BODY_LIMIT


@blueprint.get("/studies", defaults={"level": "study"})
@blueprint.get("/series", defaults={"level": "series"})
@blueprint.get("/instances", defaults={"level": "instance"})
@blueprint.get("/studies/<study>/series", defaults={"level": "series"})
@blueprint.get("/studies/<study>/instances", defaults={"level": "instance"})
@blueprint.get("/studies/<study>/series/<series>/instances", defaults={"level": "instance"})
def search(level: Level, study: str | None = None, series: str | None = None) -> Response:
    """Answer a QIDO-RS search with DICOM JSON, or 204 when nothing matches."""
    allowed = _allowed_studies("s")
    _require_json()
    query = parse_archive_query(request.args.items(multi=True))
    for column, uid in (("study_uid", study), ("series_uid", series)):
        if uid is not None:
            query.matches[column] = [uid]
    archive = sandbox_parts().archive
    found = archive.find(query.matches, query.days)
    if query.modality_in_study is not None:
        having = {i.study_uid for i in archive.find({"modality": [query.modality_in_study]})}
        found = [instance for instance in found if instance.study_uid in having]
    if allowed is not None:
        found = [instance for instance in found if instance.study_uid in allowed]
    attributes = [instance.attributes for instance in found]
    rows = rows_of(level, attributes, sandbox_parts().config.archive_base)[query.offset :]
    rows = rows if query.limit is None else rows[: query.limit]
    return _dicom_json(rows) if rows else Response(status=204)


@blueprint.get("/studies/<study>")
@blueprint.get("/studies/<study>/series/<series>")
@blueprint.get("/studies/<study>/series/<series>/instances/<instance>")
def retrieve(study: str, series: str | None = None, instance: str | None = None) -> Response:
    """Answer a WADO-RS request with the stored files, byte for byte."""
    found = _instances("r", study, series, instance)
    _require_dicom(found)
    archive = sandbox_parts().archive
    content_type, chunks = write_parts(archive.content(one) for one in found)
    return Response(chunks, content_type=content_type)


@blueprint.get("/studies/<study>/metadata")
@blueprint.get("/studies/<study>/series/<series>/metadata")
@blueprint.get("/studies/<study>/series/<series>/instances/<instance>/metadata")
def metadata(study: str, series: str | None = None, instance: str | None = None) -> Response:
    """Answer with the attributes of each instance, without pixels."""
    found = _instances("r", study, series, instance)
    _require_json()
    return _dicom_json([sandbox_parts().archive.metadata(one) for one in found])


@blueprint.post("/studies")
@blueprint.post("/studies/<study>")
def store(study: str | None = None) -> Response:
    """Keep the instances of a STOW-RS request and say what became of each."""
    if _allowed_studies("c") is not None:
        raise ScopeDenied("images are stored with a system or user scope only")
    _require_json()
    stored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for content in _posted_instances():
        try:
            stored.append(_stored_item(sandbox_parts().archive.store(content, study)))
        except InstanceRefused as refusal:
            failed.append({"00081197": {"vr": "US", "Value": [refusal.reason]}})
    answer: dict[str, Any] = {}
    if stored:
        answer["00081199"] = {"vr": "SQ", "Value": stored}  # Referenced SOP Sequence
    if failed:
        answer["00081198"] = {"vr": "SQ", "Value": failed}  # Failed SOP Sequence
    return _dicom_json(answer, 200 if not failed else 202 if stored else 409)


def _allowed_studies(letter: Letter) -> set[str] | None:
    """Return the study UIDs this request may touch, None for all.

    A patient's token reaches the studies that the record's ImagingStudy resources give them.
    """
    parts = sandbox_parts()
    if not parts.config.archive_requires_token:
        return None
    # Who may read what leads to the images may read them.
    leads = "ServiceRequest" if "ImagingStudy" in parts.config.lacks else "ImagingStudy"
    patient = require_access(parts.authorization.audiences).confinement(letter, leads)
    if patient is None:
        return None
    return {
        identifier.get("value", "").removeprefix("urn:oid:")
        for study in parts.fhir.search("ImagingStudy", {"patient": patient})
        for identifier in study.get("identifier", [])
        if identifier.get("system") == "urn:dicom:uid"
    }


def _instances(
    letter: Letter, study: str, series: str | None, instance: str | None
) -> list[StoredInstance]:
    allowed = _allowed_studies(letter)
    if allowed is not None and study not in allowed:
        raise ScopeDenied("this token is for another patient")
    found = sandbox_parts().archive.instances(study, series, instance)
    if not found:
        raise NotFound("the archive holds no such study, series or instance")
    return found


def _posted_instances() -> list[bytes]:
    if request.mimetype != "multipart/related" or request.mimetype_params.get("type") != DICOM:
        raise UnsupportedMedia(f'send multipart/related; type="{DICOM}"')
    try:
        parts = list(read_parts(request.content_type or "", request.get_data()))
    except NotMultipart as error:
        raise MalformedRequest(str(error)) from None
    if not parts:
        raise MalformedRequest("the message has no parts")
    if any(media_type != DICOM for media_type, _ in parts):
        raise UnsupportedMedia(f"every part must be {DICOM}")
    return [content for _, content in parts]


def _stored_item(instance: StoredInstance) -> dict[str, Any]:
    url = (
        f"{sandbox_parts().config.archive_base}/studies/{instance.study_uid}"
        f"/series/{instance.series_uid}/instances/{instance.sop_uid}"
    )
    return {
        "00081150": {"vr": "UI", "Value": [instance.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [instance.sop_uid]},
        "00081190": {"vr": "UR", "Value": [url]},
    }


def _require_json() -> None:
    accepted = {parse_options_header(value)[0] for value, q in request.accept_mimetypes if q > 0}
    if accepted and not accepted & _JSON_RANGES:
        raise NotAcceptable(f"this archive answers in {DICOM_JSON} only")


def _require_dicom(instances: list[StoredInstance]) -> None:
    """Raise NotAcceptable unless the client takes the files in the syntax they are stored in."""
    syntaxes = {instance.transfer_syntax_uid for instance in instances}
    for value, quality in request.accept_mimetypes:
        media_range, options = parse_options_header(value)
        wanted = options.get("transfer-syntax", "*")
        if quality <= 0 or (wanted != "*" and syntaxes != {wanted}):
            continue
        if media_range == "*/*" or (
            media_range == "multipart/related" and options.get("type", DICOM) == DICOM
        ):
            return
    if request.accept_mimetypes:
        raise NotAcceptable(f'this archive sends multipart/related; type="{DICOM}" as stored')


def _dicom_json(document: object, status: int = 200) -> Response:
    return Response(json.dumps(document), status=status, content_type=DICOM_JSON)
