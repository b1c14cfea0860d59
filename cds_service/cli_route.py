"""The `sightline route` command: which models would read a study and which rule said what.

A dry run: no model is loaded, nothing is stored, no job is made.

Source: docs/reference/routing.md.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import click

from cds_service.cli_analyze import MODEL_ID
from cds_service.cli_installation import (
    data_option,
    named_ehr,
    open_ledger,
    reading_settings,
)
from cds_service.domain.binding import known_birth_date
from cds_service.domain.routing import Route
from cds_service.domain.rule import Line
from cds_service.domain.study import HeaderOverrides, InstanceHeader, PatientFacts, StudyReference
from cds_service.errors import NotFound, StudyUnusable
from cds_service.settings import Settings
from cds_service.usecases.explain_routing import ModelSaid, SeriesSaid, explain_routing
from cds_service.usecases.ports import ImageReader, SourceInstance

_SAID = {True: "yes", False: "no", None: "not stated"}


@click.command()
@click.argument("study")
@click.option("--ehr", metavar="NAME", help="STUDY is a Study Instance UID at this EHR.")
@click.option("--patient", metavar="ID", help="Whose it is, where that EHR has no ImagingStudy.")
@click.option("--explain", is_flag=True, help="Show what every part of every rule said.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per model and line.")
@data_option
def route(
    study: str,
    ehr: str | None,
    patient: str | None,
    explain: bool,
    as_json: bool,
    data: Path | None,
) -> None:
    """Say which enabled models would read a study; run none.

    STUDY is a DICOM file or a folder with one study; with --ehr a Study Instance UID. Exit code 1:
    none would read an image.
    """
    from cds_service.adapters.pixels import DicomReader

    reader = DicomReader()
    if ehr is None:
        if patient is not None:
            raise click.UsageError("--patient goes with --ehr: files say whose they are.")
        stated, facts, instances = _of_files(Path(study), reader)
    else:
        stated, facts, instances = _of_ehr(ehr, study, patient, data)
    routes = _routes(stated.tenant_id, data)
    models = explain_routing(routes, stated, facts, instances, reader)
    for line in _json(models) if as_json else _text(models, explain):
        click.echo(line)
    raise SystemExit(0 if any(one.is_asked and one.reads for one in models) else 1)


def _json(models: Sequence[ModelSaid]) -> Iterator[str]:
    for model in models:
        yield json.dumps(_document(model), ensure_ascii=False)


def _document(model: ModelSaid) -> dict[str, Any]:
    return {
        "model": model.model_id,
        "version": model.version,
        "asked": model.is_asked,
        "why_not": model.why_not or None,
        "series": [
            {
                "uid": one.uid,
                "taken": one.decision.is_taken,
                "why": one.decision.why,
                "images": [asdict(image) for image in one.images],
            }
            for one in model.series
        ],
    }


def _text(models: Sequence[ModelSaid], explain: bool) -> Iterator[str]:
    for model in models:
        name = f"{model.model_id} {model.version}"
        said = f"is asked{f' ({model.why_not})' if model.why_not else ''}"
        yield f"{name}: {said if model.is_asked else f'is not asked: {model.why_not}'}"
        for one in model.series:
            yield from _series_text(one, explain)


def _series_text(series: SeriesSaid, explain: bool) -> Iterator[str]:
    read = sum(image.is_read for image in series.images)
    verb = "reads" if series.decision.is_taken else "leaves"
    yield f"  series {series.uid}: {verb} {_counted(read, series)}, {series.decision.why}"
    if not explain:
        return
    for image in series.images:
        yield f"    {image.path or 'image'}: {image.refusal or 'inside the intended use'}"
        yield from (_line(one) for one in image.lines)


def _counted(read: int, series: SeriesSaid) -> str:
    total = len(series.images)
    return f"{read} of {total} image{'' if total == 1 else 's'}"


def _line(line: Line) -> str:
    stated = "" if line.stated is None else f" ({_shown(line.stated)})"
    return f"      {'  ' * line.depth}{line.asked}: {_SAID[line.said]}{stated}"


def _shown(value: str | float) -> str:
    """Show a value of a header: it may hold anything that a terminal would obey."""
    if isinstance(value, float):
        return f"{value:g}"
    return "".join(one if one.isprintable() else "?" for one in value)[:64]


def _routes(tenant_id: str, data: Path | None) -> list[Route]:
    """Return the models that are enabled; without an installation those that come enabled."""
    from cds_service.adapters.model_shelf import ModelShelf, enabled_routes

    if data is None and "SIGHTLINE_DATA" in os.environ:
        data = Settings.from_env(os.environ).data
    return enabled_routes(ModelShelf(data, MODEL_ID), tenant_id)


def _of_files(
    path: Path, reader: ImageReader
) -> tuple[StudyReference, PatientFacts | None, list[SourceInstance]]:
    """Return the one study at this path, as its own headers describe it; raise NotFound."""
    from cds_service.adapters.dicom_files import find_studies
    from cds_service.adapters.inbox_header import is_uid

    everything = find_studies([path], reader).studies
    found = [one for one in everything if not (one.problem or one.fault)]
    if not found:
        why = next((one.problem or one.fault for one in everything), None)
        told = f"No study can be read at {path}: {why.text}." if why else ""
        hint = " A Study Instance UID needs --ehr NAME." if is_uid(str(path)) else ""
        raise NotFound((told or f"There is no study at {path}.") + hint)
    if len(found) > 1:
        raise NotFound(f"There are {len(found)} studies at {path}: name the file or folder of one.")
    instances = list(found[0].instances(HeaderOverrides()))
    read = [_header(one, reader) for one in instances]
    headers = [one for one in read if isinstance(one, InstanceHeader)]
    if not headers:
        refusal = next(one for one in read if isinstance(one, StudyUnusable))
        raise NotFound(f"No study can be read at {path}: {refusal.text}.")
    first = headers[0]
    modalities = tuple(dict.fromkeys(one.modality for one in headers if one.modality))
    day = first.study_date
    stated = StudyReference(
        tenant_id="",
        study_uid=first.study_uid or "",
        patient_id="",
        modalities=modalities,
        started=datetime.combine(day, time(), UTC) if day else None,
    )
    return stated, PatientFacts("", birth_date=known_birth_date(first)), instances


def _header(instance: SourceInstance, reader: ImageReader) -> InstanceHeader | StudyUnusable:
    try:
        return reader.header(instance.data)
    except StudyUnusable as refusal:
        return refusal


def _of_ehr(
    name: str, study_uid: str, patient_id: str | None, data: Path | None
) -> tuple[StudyReference, PatientFacts | None, list[SourceInstance]]:
    """Read the study and its patient from the EHR, and its images from the archive."""
    from cds_service.adapters.ledger import SqlTenants
    from cds_service.wiring import study_at_ehr

    tenant = named_ehr(name, SqlTenants(open_ledger(data)).all())
    if patient_id is None and not tenant.has_imaging_studies:
        raise click.UsageError(
            f"{name} has no ImagingStudy: say with --patient ID whose study it is, by the id of "
            "the FHIR Patient. Their orders and reports lead to the archive's study."
        )
    study, patient, images = study_at_ehr(reading_settings(data), tenant, study_uid, patient_id)
    return study, patient, [SourceInstance(one) for one in images]
