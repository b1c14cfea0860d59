"""What we offer: two services, each under the hooks that it answers, as discovery lists them.

One id under several hooks says that the cards of a later hook replace those of an earlier one.

Source: CDS Hooks 2.0 "Discovery" (ch2:4-13), "Update Stale Guidance" (ch2:210-213).
"""

from collections.abc import Mapping, Sequence
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
    FINDINGS_SERVICE: "Shows what AI found in the patient's imaging studies.",
    ORDER_SERVICE: "Says before a new imaging order that AI has read a comparable study already.",
}
_PREFETCH: Mapping[str, Mapping[str, str]] = {
    FINDINGS_SERVICE: PREFETCH,
    ORDER_SERVICE: {STUDIES: PREFETCH[STUDIES]},
}


def entries(models: Sequence[CardModel], dialect: Dialect) -> list[dict[str, Any]]:
    """Return the discovery document's services that this dialect knows the hooks of.

    models   that are enabled for every EHR; those of one EHR alone are not for everybody to know
    """
    return [
        cards_json.service_json(
            service_id=service_id,
            hook=hook.value,
            title=_TITLES[service_id],
            description=_description(service_id, models),
            prefetch=_PREFETCH[service_id],
            dialect=dialect,
        )
        for service_id, hooks in OFFERED.items()
        for hook in hooks
        if dialect.offers(hook)
    ]


def _description(service_id: str, models: Sequence[CardModel]) -> str:
    said = (f"{one.identity.title or one.identity.id}: {one.identity.label}" for one in models)
    return " ".join((_DESCRIPTIONS[service_id], *said)).strip()


def require_offered(service_id: str) -> None:
    """Raise NotFound, naming what there is, unless this is a service of ours."""
    if service_id not in OFFERED:
        listed = "; ".join(f"{name} ({', '.join(hooks)})" for name, hooks in OFFERED.items())
        raise NotFound(f"There is no such CDS service. Offered are: {listed}.")
