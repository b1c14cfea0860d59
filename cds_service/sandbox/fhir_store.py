"""The sandbox's record as its users see it: a resource table that also takes transactions.

Source: FHIR R4 http.html#transaction.
"""

from cds_service.sandbox.fhir_transaction import run_transaction
from cds_service.sandbox.fhir_writes import Guard, unguarded
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.resource_table import ResourceTable


class FhirStore(ResourceTable):
    """Every resource of this EHR."""

    def transaction(self, bundle: Resource, guard: Guard = unguarded) -> Resource:
        """Carry out a transaction Bundle, all or nothing; return the transaction-response.

        Raises SandboxRefusal, with nothing written, when any entry is refused.
        """
        return run_transaction(self, bundle, guard)
