"""Orders and tasks as the chart shows them: a line each, drafts first.

Source: FHIR R4 ServiceRequest, Task.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.record_view import moment, words


@dataclass(frozen=True, slots=True)
class OrderView:
    """One ServiceRequest or Task."""

    id: str
    reference: str
    name: str
    why: str
    status: str
    authored: str
    is_order: bool  # and not a task
    is_sent: bool  # somebody is named who performs it


def order_views(requests: Sequence[Resource], tasks: Sequence[Resource]) -> list[OrderView]:
    """Read orders and tasks: drafts first, then what goes on, then what is over; newest first."""
    ranks = {"draft": 0, "active": 1}
    newest_first = sorted([*requests, *tasks], key=_authored, reverse=True)
    return [_view(one) for one in sorted(newest_first, key=lambda one: ranks.get(one["status"], 2))]


def _view(resource: Resource) -> OrderView:
    reasons = [words(reason) for reason in resource.get("reasonCode", [])]
    authored = _authored(resource)
    return OrderView(
        id=resource["id"],
        reference=f"{resource['resourceType']}/{resource['id']}",
        name=words(resource.get("code")) or resource["resourceType"],
        why=next(iter(reasons), resource.get("description", "")),
        status=resource["status"],
        authored=moment(authored) if authored else "",
        is_order=resource["resourceType"] == "ServiceRequest",
        is_sent="performer" in resource,
    )


def _authored(resource: Resource) -> str:
    return str(resource.get("authoredOn") or "")
