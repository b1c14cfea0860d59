"""The archives of a registration, whatever they speak: DICOMweb or DIMSE.

Source: architecture "One job through the house", step 2; ports Archive and StudyIndex.
"""

from collections.abc import Callable, Iterator

from cds_service.adapters.archive_answer import not_there
from cds_service.domain.accession import IndexedStudy
from cds_service.domain.archive_address import is_dimse
from cds_service.domain.study import SeriesReference, StudyReference, stated_of
from cds_service.domain.tenant import Tenant
from cds_service.errors import EndpointNotAllowed, StudyIncomplete, UpstreamFailed
from cds_service.usecases.ports import Archive, Budget, StudyIndex


class EitherArchive:
    """The kind in which the study was found, or of the first registered archive; then the other."""

    def __init__(self, web: Archive, dimse: Callable[[], Archive]) -> None:
        """`dimse` is called for a tenant that has such an archive: it needs an extra."""
        self._web, self._dimse = web, dimse

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        """Yield each instance once; raises as the archive that is read."""
        stated = stated_of(study, budget.series)
        failure: UpstreamFailed | None = None
        for archive in self._kinds(tenant, study):
            count = 0
            try:
                for instance in archive.instances(tenant, study, budget):
                    count += 1
                    yield instance
            except StudyIncomplete as error:
                if count or error.code != not_there().code:
                    raise
            except UpstreamFailed as error:
                # Unless it is stated, nobody would see that the other has less.
                if count or stated is None or isinstance(error, EndpointNotAllowed):
                    raise
                failure = failure or error
            if count and failure and count < (stated or 0):
                raise failure
            if count:
                return
        raise failure or not_there()

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        """Return one instance; raises as the archive that is read."""
        failure: UpstreamFailed | None = None
        for archive in self._kinds(tenant, study):
            try:
                return archive.instance(tenant, study, series_uid, sop_uid)
            except StudyIncomplete as error:
                if error.code != not_there().code:
                    raise
            except UpstreamFailed as error:
                failure = failure or error
        raise failure or not_there()

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        """Return what the first that lists the study's series says; raises as that archive."""
        *others, last = self._kinds(tenant, study)
        listed = (archive.series(tenant, study) for archive in others)
        return next(filter(None, listed), ()) or last.series(tenant, study)

    def _kinds(self, tenant: Tenant, study: StudyReference) -> list[Archive]:
        if not tenant.dimse_archives:
            return [self._web]
        if not tenant.web_archives:
            return [self._dimse()]
        first = study.archive_url if study.archive_url in tenant.archives else tenant.archives[0]
        kinds = [self._web, self._dimse()]
        return kinds[::-1] if is_dimse(first or "") else kinds


class EitherIndex:
    """The studies of a number in every archive of a registration."""

    def __init__(self, web: StudyIndex, dimse: Callable[[], StudyIndex]) -> None:
        """`dimse` is called for a tenant that has such an archive: it needs an extra."""
        self._web, self._dimse = web, dimse

    def of_accession(self, tenant: Tenant, number: str) -> list[IndexedStudy]:
        """Ask all archives; a study that two of them have is the DICOMweb one's."""
        found = self._web.of_accession(tenant, number)
        if tenant.dimse_archives:
            known = {one.study_uid for one in found}
            further = self._dimse().of_accession(tenant, number)
            found = [*found, *(one for one in further if one.study_uid not in known)]
        return found
