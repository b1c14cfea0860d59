"""Try an archive without DICOMweb: an association for all that reading asks of it, and no query.

Source: DICOM PS3.8 7.1 (A-ASSOCIATE), PS3.4 C.4.1 (C-FIND), C.4.3 (C-GET).
"""

from cds_service.adapters.dimse.client import Addresses, Caller, Patience
from cds_service.adapters.dimse.retrieval import storage_contexts
from cds_service.domain.archive_address import dimse_address
from cds_service.domain.tenant import Tenant


def greet(tenant: Tenant, base: str, addresses: Addresses, patience: Patience) -> None:
    """Make an association with a registered archive, and release it.

    Raises ArchiveFailed, ArchiveRefused or EndpointNotAllowed.
    """
    with Caller(addresses, patience).conversation(
        tenant, dimse_address(base), storage=storage_contexts()
    ):
        pass
