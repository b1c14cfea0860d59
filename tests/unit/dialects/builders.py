"""Cards with everything that a dialect may leave out."""

from typing import Any

from cds_service.domain.card import (
    Action,
    ActionType,
    Card,
    Indicator,
    Link,
    SelectionBehavior,
    Source,
    Suggestion,
)
from cds_service.domain.dialect import DIALECTS, DialectName
from cds_service.domain.finding import Coding
from cds_service.web.cards_json import CardsJson
from tests.builders import PNEUMONIA

ORDER = {
    "resourceType": "ServiceRequest",
    "status": "draft",
    "intent": "proposal",
    "code": {"text": "Follow-up chest X-ray"},
    "subject": {"reference": "Patient/p-1"},
}
TASK = {"resourceType": "Task", "status": "requested", "intent": "order"}
OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "AI"}}


def creating(resource: dict[str, Any]) -> Action:
    return Action(ActionType.CREATE, f"Create a {resource['resourceType']}", resource)


def deleting(resource_id: str) -> Action:
    return Action(ActionType.DELETE, "Remove the draft", resource_id=resource_id)


def a_suggestion(label: str, *actions: Action, is_recommended: bool = False) -> Suggestion:
    return Suggestion(f"uuid-{label}", label, actions, is_recommended)


def a_card(*suggestions: Suggestion, **changes: Any) -> Card:
    values: dict[str, Any] = {
        "uuid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "summary": "Chest X-ray 2 Jan 2026: signs of pneumonia (AI score 0.93, threshold 0.62)",
        "indicator": Indicator.WARNING,
        "source": Source("Model", "https://ai.example.org/fhir/Device/m", PNEUMONIA),
        "detail_markdown": "\n\n".join(
            ["score", "**Looks for:** a", "**Model:** m", "**Next:** look", "Not a device."]
        ),
        "links": (Link("Open", "https://ai.example.org/app/launch", '{"study":"1.2"}'),),
        "override_reasons": (Coding("https://example.org/reasons", "r", "A reason"),),
        "suggestions": suggestions,
        "selection_behavior": SelectionBehavior.AT_MOST_ONE if suggestions else None,
        "extension": {"org.example.result": {"study": "1.2"}},
    }
    return Card(**values | changes)


def written(name: DialectName, card: Card) -> dict[str, Any]:
    """The card as JSON; a sealed context is its text backwards."""
    return CardsJson(DIALECTS[name], lambda text: text[::-1]).card(card)
