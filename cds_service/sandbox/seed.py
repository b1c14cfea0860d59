"""Fill an empty sandbox with its people, their records and their images.

Source: FHIR R4 http.html#upsert (every resource has its own id, so filling twice changes nothing).
"""

from collections.abc import Callable
from pathlib import Path

from cds_service.sandbox import records
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.patients import PATIENTS
from cds_service.sandbox.radiographs import Pictures, instances

PICTURES = Path(__file__).parent / "pictures"
Progress = Callable[[int, int, str], None]


def seed(parts: Sandbox, on_progress: Progress, pictures_folder: Path = PICTURES) -> None:
    """Add each patient that is not there yet; `on_progress(done, of, what)` after each.

    A patient's images are stored before the record that names them, so an interrupted run leaves
    no study without images, and the next run goes on where it stopped.
    Raises PicturesMissing where the composite pictures are not installed.
    """
    _keep(parts, records.house(parts.config))  # always: the archive's port may have changed
    missing = [row for row in PATIENTS if parts.fhir.read("Patient", row.id) is None]
    if not missing:
        return
    pictures = Pictures.in_folder(pictures_folder)
    today = parts.config.now().date()
    for done, row in enumerate(missing, start=1):
        for study in row.studies:
            for instance in instances(row, study, pictures, today):
                parts.archive.store(instance)
        _keep(parts, records.chart(row, parts.config, today))
        on_progress(done, len(missing), f"patient {row.id}")


def _keep(parts: Sandbox, resources: list[Resource]) -> None:
    with parts.fhir.all_or_nothing():
        for resource in resources:
            parts.fhir.update(resource)
