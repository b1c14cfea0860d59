"""Try an archive without DICOMweb: an association for all that reading asks of it, and no query.

Source: DICOM PS3.8 7.1 (A-ASSOCIATE), PS3.4 C.4.1 (C-FIND), C.4.3 (C-GET).
"""

from cds_service.adapters.dimse.answers import cut_off
from cds_service.adapters.dimse.client import Addresses, Patience, conversation
from cds_service.adapters.dimse.retrieval import storage_contexts
from cds_service.adapters.egress import Origin
from cds_service.adapters.side_by_side import Allowance
from cds_service.domain.archive_address import dimse_address
from cds_service.domain.tenant import Tenant
from cds_service.usecases.ports import Budget


def greet(tenant: Tenant, base: str, addresses: Addresses, patience: Patience) -> None:
    """Make an association with a registered archive, and release it.

    Raises ArchiveFailed, ArchiveRefused or EndpointNotAllowed.
    """
    address = dimse_address(base)
    origin = Origin(address.scheme, address.host, address.port)
    try:
        checked = addresses(tenant, origin, registered=True)
    except OSError as error:
        raise cut_off() from error
    with (
        Allowance(Budget(bytes=0, instances=0)).answer() as answer,
        conversation(address, checked, answer, patience, storage_contexts()),
    ):
        pass
