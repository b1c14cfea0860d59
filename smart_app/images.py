"""The images of a result that may be shown, and how each gets from the archive to a frame.

Only bytes that a worker has decoded under its limits are decoded in this process, one image at a
time: their digests are in the result.

Source: ADR 0001; ADR 0008; ADR 0013; DICOM PS3.3 C.7.3.1 (Series Number), C.7.6.1 (Instance
Number).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from threading import BoundedSemaphore

import numpy as np

from cds_service.domain.finding import Finding, Result
from cds_service.domain.image_form import ImageForm
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.study import InstanceHeader, StudyReference, series_for
from cds_service.domain.tenant import Tenant
from cds_service.errors import ImageBusy, ImageChanged, NotFound
from cds_service.usecases.list_series import with_series
from cds_service.usecases.ports import Budget
from smart_app.frame import Frame, frame_of, packed, unpacked
from smart_app.frame_cache import FRAME_LIFE_S, FrameCache
from smart_app.imaging_access import archive_for
from smart_app.open_launch import OpenLaunch
from smart_app.session import SealedStore

DECODE_WAIT_S = 8.0  # below the timeout of the web process
_DECODER = BoundedSemaphore(1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one image of a study is found."""

    series_uid: str
    sop_uid: str
    frame: int = 1  # of this object, from 1
    view: str = ""  # "PA"

    def shows(self, finding: Finding) -> bool:
        """Tell whether the finding is in this very image."""
        return (self.sop_uid, self.frame) == (finding.sop_uid, finding.frame)


def place_of(finding: Finding) -> Place:
    """Return where a finding's image is."""
    return Place(finding.series_uid, finding.sop_uid, finding.frame)


def places_of(launch: OpenLaunch, result: Result) -> list[Place]:
    """Return the images that were analysed, by series and by their number in it.

    Raises what Archive.instances raises; for a single object as `frame_in`.
    """
    analysis = result.analysis
    if len(analysis.instance_digests) == 1 and analysis.findings:
        # The preview has just brought it: the cache knows how many frames it has.
        shown = place_of(analysis.findings[0])
        return _frames_at(shown, frame_in(launch, result, shown).frames)
    store, kind = SealedStore(launch.house.redis, launch.house.vault), f"images:{result.id}"
    kept = store.get(kind, launch.handle)
    if kept is None:
        kept = {"places": [asdict(place) for place in _in_archive(launch, result)]}
        store.put(kind, launch.handle, kept, FRAME_LIFE_S)
    return [Place(**place) for place in kept["places"]]


def frame_at(launch: OpenLaunch, result: Result, number: int) -> Frame:
    """Return the image of this number in `places_of`; raises NotFound, and as `frame_in`."""
    places = places_of(launch, result)
    if not 0 <= number < len(places):
        raise NotFound("This study has no such image.")
    return frame_in(launch, result, places[number])


def frame_in(launch: OpenLaunch, result: Result, place: Place) -> Frame:
    """Return an image, from the cache or else from the archive.

    Raises ImageChanged (409) unless the archive's bytes are among those that were analysed,
    ImageBusy (503) when others keep the decoder, and what Archive.instance raises.
    """
    cache, name = FrameCache(launch), f"{place.sop_uid}/{place.frame}"
    if kept := cache.get(result.id, name):
        return unpacked(kept)
    instance = _instance(launch, result, place, cache)
    with _turn():
        if kept := cache.get(result.id, name):  # by whoever had the turn before
            return unpacked(kept)
        header = launch.house.read_header(instance)
        values = launch.house.read_pixels(instance, place.frame)
        if _is_negative(result, place):
            values = np.float32(values.min() + values.max()) - values
        frame = frame_of(values, header.spacing_mm, header.frames, header.orientation)
    cache.put(result.id, name, packed(frame))
    if header.frames > 1:  # paging must not fetch all of them for each
        cache.put(result.id, place.sop_uid, instance)
    return frame


def _instance(launch: OpenLaunch, result: Result, place: Place, cache: FrameCache) -> bytes:
    """Return the object as it was analysed."""
    instance = cache.get(result.id, place.sop_uid)
    if instance is not None and _is_analysed(instance, result):
        return instance
    archive, study = archive_for(launch, _study_of(launch, result))
    for tenant in _in_each_form(launch.tenant):
        instance = archive.instance(tenant, study, place.series_uid, place.sop_uid)
        if _is_analysed(instance, result):
            return instance
    raise ImageChanged("The archive's image is not the one that was analysed.")


def _is_analysed(instance: bytes, result: Result) -> bool:
    return instance_digest(instance) in result.analysis.instance_digests


def _in_each_form(tenant: Tenant) -> list[Tenant]:
    """Return the tenant as it asks for images, then as it may have asked for those of a result.

    A study may have come as stored because the archive cannot convert one of its images.
    """
    forms = dict.fromkeys((tenant.images, *ImageForm))
    return [replace(tenant, images=form) for form in forms]


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for the decoder: a decoded image is many times the size of its file."""
    if not _DECODER.acquire(timeout=DECODE_WAIT_S):
        raise ImageBusy("Other images are being opened.")
    try:
        yield
    finally:
        _DECODER.release()


def _in_archive(launch: OpenLaunch, result: Result) -> list[Place]:
    found = {}
    archive, study = archive_for(launch, _study_of(launch, result))
    study = with_series(study, launch.tenant, archive)
    budget = Budget(series=_series_of(launch, result, study))
    for tenant in _in_each_form(launch.tenant):
        for instance in archive.instances(tenant, study, budget):
            if _is_analysed(instance, result):
                found[instance_digest(instance)] = _placed(launch.house.read_header(instance))
        # As stored a study is not of two forms: what is missing has left the archive.
        is_stored = launch.tenant.images is ImageForm.AS_STORED
        if (found and is_stored) or len(found) == len(set(result.analysis.instance_digests)):
            break
    ordered = sorted(found.values(), key=lambda entry: entry[0])
    return [place for _, frames in ordered for place in frames]


def _placed(header: InstanceHeader) -> tuple[tuple[int, str, int, str], list[Place]]:
    """Return what to sort by, and the images of the object."""
    place = Place(header.series_uid or "", header.sop_uid or "", view=header.view)
    order = (header.series_number, place.series_uid, header.instance_number, place.sop_uid)
    return order, _frames_at(place, header.frames)


def _series_of(launch: OpenLaunch, result: Result, study: StudyReference) -> tuple[str, ...]:
    """Return the series to fetch; none, which is all, where the models have changed since."""
    chosen = series_for(study, frozenset(launch.house.modalities))
    holds_all = all(one.series_uid in chosen for one in result.analysis.findings)
    return chosen if holds_all else ()


def _frames_at(place: Place, frames: int) -> list[Place]:
    return [replace(place, frame=number) for number in range(1, frames + 1)]


def _is_negative(result: Result, place: Place) -> bool:
    """Tell whether the model had to exchange black and white, which the header left open."""
    return any(
        "negative" in finding.guards
        for finding in result.analysis.findings
        if finding.sop_uid == place.sop_uid
    )


def _study_of(launch: OpenLaunch, result: Result) -> StudyReference:
    """Return where the study lies: as the job knew it, else the tenant's own archive."""
    owner = (result.tenant_id, result.patient_id)
    job = launch.house.jobs.newest_for(*owner, [result.study_uid]).get(result.study_uid)
    return job.study if job else StudyReference(result.tenant_id, result.study_uid, owner[1])
