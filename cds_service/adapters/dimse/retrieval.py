"""Fetch instances from an archive without DICOMweb: C-FIND for its series, C-GET for their images.

C-GET brings the images on the association that asked for them, so nothing has to listen, and only
the registered host and port is ever dialled. C-MOVE is not spoken. What was cut off in the middle
is completed on another association, image by image.

Source: DICOM PS3.4 C.4 (C-FIND, C-GET), C.6.2 (Study Root), PS3.5 10 (transfer syntaxes).
"""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    XRayRadiofluoroscopicImageStorage,
)
from pynetdicom.presentation import PresentationContext, build_context

from cds_service.adapters.archive_answer import not_there, uids_in
from cds_service.adapters.codestream import RETIRED_JPEG
from cds_service.adapters.decoders import CANDIDATES
from cds_service.adapters.dimse.answers import cut_off
from cds_service.adapters.dimse.client import Addresses, Caller, Conversation, Patience
from cds_service.adapters.inbox_files import HEAD_BYTES
from cds_service.adapters.inbox_header import is_uid
from cds_service.adapters.side_by_side import Allowance
from cds_service.domain.archive_address import DimseAddress, dimse_address
from cds_service.domain.study import SeriesReference, StudyReference, stated_of
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    HostileInstance,
    StudyIncomplete,
    UnreadableInstance,
    UpstreamFailed,
)
from cds_service.usecases.ports import Budget

# An association has 128 contexts at the most (PS3.8 9.3.2.2): with one for each compression, so
# that an archive need not convert, these classes are what there is room for.
CLASSES = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    XRayRadiofluoroscopicImageStorage,
    SecondaryCaptureImageStorage,
    CTImageStorage,
    MRImageStorage,
)
_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
_COMPRESSED: list[list[str | UID]] = [
    [one] for one in CANDIDATES if one not in RETIRED_JPEG
]  # never a deflated one
# Series of these hold no image, and an archive cannot send them on such an association.
_NO_IMAGES = frozenset(
    {
        *("ANN", "AU", "DOC", "ECG", "EPS", "FID", "HD", "KO", "M3D", "PLAN", "PR", "REG", "RWV"),
        *("RTDOSE", "RTPLAN", "RTRECORD", "RTSTRUCT", "SEG", "SMR", "SR", "STAIN", "TEXTUREMAP"),
    }
)

ASSOCIATIONS = 3  # of one study at the most, when the archive cuts them off in the middle
_INSTANCES = "NumberOfSeriesRelatedInstances"


class DimseArchive:
    """The Archive port over the DIMSE archives of a registration."""

    def __init__(self, addresses: Addresses, patience: Patience | None = None) -> None:
        self._caller = Caller(addresses, patience or Patience())

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        """Yield each instance of the study once, as it was sent; a cut is gone on from.

        Raises as the DICOMweb archive does, and UnreadableInstance "no-image" where no series
        can hold one.
        """
        wanted = [_checked(one) for one in budget.series]
        asked = _identifier("SERIES", study.study_uid, SeriesInstanceUID="", Modality="")
        allowance = Allowance(budget, stated_of(study, budget.series))
        for address in _archives(tenant, study):
            found = False
            try:
                for one in self._of_series(tenant, address, asked, wanted, allowance):
                    found = True
                    yield one
            except UpstreamFailed as error:
                if found:
                    raise
                allowance.pass_over(str(address), error)
            if found:
                allowance.require_whole()
                return
        raise next(iter(allowance.failed.values()), not_there())

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        """Return one instance as it was sent; raises as `instances`."""
        asked = _identifier(
            "IMAGE",
            study.study_uid,
            SeriesInstanceUID=_checked(series_uid),
            SOPInstanceUID=_checked(sop_uid),
        )
        failure: UpstreamFailed | None = None
        for address in _archives(tenant, study):
            allowance = Allowance(Budget())
            try:
                with self._caller.conversation(
                    tenant, address, allowance, storage_contexts()
                ) as talk:
                    first, *_ = talk.get(asked)
                    return first
            except StudyIncomplete as error:
                if error.code != "not-in-archive":
                    raise
            except UpstreamFailed as error:
                failure = failure or error
        raise failure or not_there()

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        """Return the series that the first archive with any lists; raises as `instances`.

        A list with a row that names no series is no list: what it leaves out is never read.
        """
        asked = _identifier("SERIES", study.study_uid, SeriesInstanceUID="", Modality="")
        setattr(asked, _INSTANCES, None)
        for address in _archives(tenant, study):
            with self._caller.conversation(tenant, address) as talk:
                if rows := list(talk.find(asked)):
                    return _listed(rows)
        return ()

    def _of_series(
        self,
        tenant: Tenant,
        address: DimseAddress,
        asked: Dataset,
        wanted: list[str],
        allowance: Allowance,
    ) -> Iterator[bytes]:
        """Yield the images of the wanted series of one archive; nothing where it has none.

        An archive that falls silent before the first image is a failure at once.
        """
        left: list[str] = []  # of the series
        heads: list[bytes] = []  # of what came of the first of them
        has_begun = False
        for further in reversed(range(ASSOCIATIONS)):
            try:
                with self._caller.conversation(
                    tenant, address, allowance, storage_contexts()
                ) as talk:
                    left = left if has_begun else _with_images(talk.find(asked), wanted)
                    while left:
                        for one in _images(talk, asked.StudyInstanceUID, left[0], heads):
                            has_begun = True
                            heads.append(one[:HEAD_BYTES])
                            yield one
                        del left[0], heads[:]
                return
            except ArchiveFailed:
                if not has_begun or not further:
                    raise


def _with_images(rows: Iterator[dict[str, str]], wanted: list[str]) -> list[str]:
    """Return the wanted series that may hold images; none where the archive has no series."""
    modalities = {row["SeriesInstanceUID"]: row["Modality"] for row in rows}
    series = [one for one in modalities if is_uid(one) and (one in wanted or not wanted)]
    with_images = [one for one in series if modalities[one] not in _NO_IMAGES]
    if series and not with_images:
        raise UnreadableInstance("no-image", "it holds no image")
    return with_images


def _images(
    talk: Conversation, study_uid: str, series_uid: str, heads: list[bytes]
) -> Iterator[bytes]:
    """Yield a series at once; or, of one that was cut off, what is not among these `heads`."""
    if not heads:
        yield from talk.get(_identifier("SERIES", study_uid, SeriesInstanceUID=series_uid))
        return
    came = uids_in(heads, cut_off())
    asked = _identifier("IMAGE", study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID="")
    listed = [(series_uid, row["SOPInstanceUID"]) for row in talk.find(asked)]
    if not came <= set(listed):
        raise cut_off()
    for uids in dict.fromkeys(listed):
        if uids not in came:
            asked.SOPInstanceUID = _checked(uids[1])
            yield _one_of(list(talk.get(asked)), uids)


def _one_of(instances: list[bytes], uids: tuple[str, str]) -> bytes:
    """Return the one that was asked for; an archive may send more for a key that it ignores."""
    for one in instances:
        if uids_in([one[:HEAD_BYTES]], cut_off()) == {uids}:
            return one
    raise cut_off()


def _listed(rows: list[dict[str, str]]) -> tuple[SeriesReference, ...]:
    if not all(is_uid(row["SeriesInstanceUID"]) for row in rows):
        return ()
    return tuple(
        SeriesReference(
            uid=row["SeriesInstanceUID"],
            modality=row["Modality"].upper(),
            instance_count=int(count) if (count := row[_INSTANCES]).isdecimal() else None,
        )
        for row in rows
    )


def _archives(tenant: Tenant, study: StudyReference) -> list[DimseAddress]:
    """Return the registered archives, the one in which the study was found first."""
    registered = tenant.dimse_archives
    if not registered:
        raise StudyIncomplete("no-endpoint", "the EHR names no archive for it")
    return [
        dimse_address(one) for one in sorted(registered, key=lambda one: one != study.archive_url)
    ]


def storage_contexts() -> list[PresentationContext]:
    """Return as what a C-GET takes images: each class with each syntax that is decoded."""
    syntaxes: list[list[str | UID]] = [list(_NATIVE), *_COMPRESSED]
    return [build_context(one, syntax) for one in CLASSES for syntax in syntaxes]


def _identifier(level: str, study_uid: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    identifier.StudyInstanceUID = _checked(study_uid)
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _checked(uid: str) -> str:
    """Let only a UID into a query; a wildcard or a list would ask for others."""
    if not is_uid(uid):
        raise HostileInstance("bad-identifier", "its identifier is not a DICOM UID")
    return uid
