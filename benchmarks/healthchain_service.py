"""A patient-view service on HealthChain, run by its own Python (see healthchain.py).

It is written as HealthChain's page on CDS Hooks shows it: one handler, registered with
HealthChainAPI, that returns one card about what the EHR prefetched.
"""

from typing import Any

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"
from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.models import CDSRequest, CDSResponse
from healthchain.models.responses.cdsresponse import Card, IndicatorEnum, Source

cds = CDSHooksService()


@cds.hook("patient-view", id="imaging-ai-findings", title="Imaging studies")
def imaging_studies(request: CDSRequest) -> CDSResponse:
    """Say how many studies were prefetched, and when the newest was taken."""
    studies = _resources((request.prefetch or {}).get("studies"))
    if not studies:
        return CDSResponse(cards=[])
    newest = max(study.get("started", "") for study in studies)
    card = Card(
        summary=f"{len(studies)} imaging studies, the newest of {newest[:10]}",
        indicator=IndicatorEnum.info,
        source=Source(label="Imaging AI"),
        detail="\n".join(f"- {study.get('description', 'a study')}" for study in studies),
    )
    return CDSResponse(cards=[card])


def _resources(bundle: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in (bundle or {}).get("entry", [])]


app = HealthChainAPI(title="Imaging findings")
app.register_service(cds, path="/cds")
