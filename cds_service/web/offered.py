"""What we offer: two services, each under the hooks that it answers, as discovery lists them.

One id under several hooks says that the cards of a later hook replace those of an earlier one.

Source: CDS Hooks 2.0 "Discovery" (ch2:4-13), "Update Stale Guidance" (ch2:210-213).
"""

from collections.abc import Mapping
from typing import Any

from cds_service.domain.dialect import Dialect
from cds_service.domain.hook import FINDINGS_SERVICE, OFFERED, ORDER_SERVICE
from cds_service.errors import NotFound
from cds_service.usecases.compose_card import CardModel
from cds_service.usecases.gather_prefetch import PREFETCH, STUDIES
from cds_service.web import cards_json

_TITLES = {
    FINDINGS_SERVICE: "Imaging AI findings",
    ORDER_SERVICE: "Imaging order check",
}
_DESCRIPTIONS = {
    FINDINGS_SERVICE: "Shows what an AI model ({model}) found in the patient's imaging studies.",
    ORDER_SERVICE: "Says before a new imaging order that a comparable study was read by an AI "
    "model ({model}) already.",
}
_PREFETCH: Mapping[str, Mapping[str, str]] = {
    FINDINGS_SERVICE: PREFETCH,
    ORDER_SERVICE: {STUDIES: PREFETCH[STUDIES]},
}


def entries(model: CardModel, dialect: Dialect) -> list[dict[str, Any]]:
    """Return the discovery document's services that this dialect knows the hooks of."""
    return [
        cards_json.service_json(
            service_id=service_id,
            hook=hook.value,
            title=_TITLES[service_id],
            description=_description(service_id, model),
            prefetch=_PREFETCH[service_id],
            dialect=dialect,
        )
        for service_id, hooks in OFFERED.items()
        for hook in hooks
        if dialect.offers(hook)
    ]


def _description(service_id: str, model: CardModel) -> str:
    name = model.identity.title or model.identity.id
    return f"{_DESCRIPTIONS[service_id].format(model=name)} {model.identity.label}".strip()


def require_offered(service_id: str) -> None:
    """Raise NotFound, naming what there is, unless this is a service of ours."""
    if service_id not in OFFERED:
        listed = "; ".join(f"{name} ({', '.join(hooks)})" for name, hooks in OFFERED.items())
        raise NotFound(f"There is no such CDS service. Offered are: {listed}.")
