"""Read studies that were pushed to us: the inbox as an Archive, bound studies only.

Source: architecture "One job through the house", step 2; port Archive.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from cds_service.adapters.archive_answer import not_there
from cds_service.adapters.inbox_files import HEAD_BYTES, InboxFiles
from cds_service.adapters.side_by_side import too_large
from cds_service.domain.inbox import PushedInstance
from cds_service.domain.study import SeriesReference, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.usecases.ports import Archive, Budget


class Index(Protocol):
    """Which files are whose."""

    def digests(self, tenant_id: str, study_uid: str, patient_id: str) -> list[str]:
        """Return the files of a study that is bound to this patient."""


class InboxArchive:
    """The pushed instances of a study, once it is bound to the patient whose study is read."""

    def __init__(
        self, index: Index, files: InboxFiles, identify: Callable[[bytes], PushedInstance]
    ) -> None:
        self._index, self._files, self._identify = index, files, identify

    def count(self, tenant: Tenant, study: StudyReference) -> int:
        """Return how many instances of the study were pushed; 0 unless bound to its patient."""
        return len(self._digests(tenant, study))

    def is_whole(self, tenant: Tenant, study: StudyReference) -> bool:
        """Tell whether the file of every instance that was noted is there.

        A process that is killed between the two leaves a note alone.
        """
        return all(self._files.has(tenant.id, one) for one in self._digests(tenant, study))

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        """Yield each instance once; raise StudyIncomplete, StudyTooLarge."""
        digests = self._digests(tenant, study)
        if not digests:
            raise not_there()
        left = budget.bytes
        for count, digest in enumerate(digests, 1):
            if count > budget.instances:
                raise too_large()
            instance = self._read(tenant, digest)
            left -= len(instance)
            if left < 0:
                raise too_large()
            yield instance

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        """Return one instance as it came; raise StudyIncomplete."""
        for digest in self._digests(tenant, study):
            instance = self._read(tenant, digest)
            found = self._identify(instance[:HEAD_BYTES])
            if (found.series_uid, found.sop_uid) == (series_uid, sop_uid):
                return instance
        raise not_there()

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        """Return none: what was pushed is read whole."""
        return ()

    def _digests(self, tenant: Tenant, study: StudyReference) -> list[str]:
        return self._index.digests(tenant.id, study.study_uid, study.patient_id)

    def _read(self, tenant: Tenant, digest: str) -> bytes:
        instance = self._files.read(tenant.id, digest)
        if instance is None:  # given up in this very moment
            raise not_there()
        return instance


class InboxFirst:
    """The inbox for what was pushed, the archive for everything else.

    What was pushed in part, as the EHR counts, is the archive's where there is one: the rest came
    after the first part was analysed and erased, was refused, or has lost its file.
    """

    def __init__(self, inbox: InboxArchive, archive: Archive) -> None:
        self._inbox, self._archive = inbox, archive

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        """Yield each instance once; raises as the one that is read."""
        return self._of(tenant, study).instances(tenant, study, budget)

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        """Return one instance; raises as the one that is read."""
        return self._of(tenant, study).instance(tenant, study, series_uid, sop_uid)

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        """Return what is listed by the one that is read; raises as it does."""
        return self._of(tenant, study).series(tenant, study)

    def _of(self, tenant: Tenant, study: StudyReference) -> Archive:
        held = self._inbox.count(tenant, study)
        has_archive = bool(tenant.archives or study.archive_url)
        if held and has_archive:
            is_partial = held < (study.instance_count or 0)
            is_here = not is_partial and self._inbox.is_whole(tenant, study)
            return self._inbox if is_here else self._archive
        return self._inbox if held else self._archive
