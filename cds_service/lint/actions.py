"""Rules about the actions of suggestions and of the system.

Source: CDS Hooks 2.0 "Action"; 1.0, where a delete names its resource in `resource`.
"""

import re

from cds_service.lint.fields import Element
from cds_service.lint.rule import FIRST, SECOND, SINCE_SECOND, Problems, Rule
from cds_service.lint.tree import Node

_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


def _action_unknown(action: Node) -> Problems:
    value = action.text("type")
    if value and value not in ("create", "update", "delete"):
        yield ("type",), f"{value[:40]!r} is no type of action."


def _resource_without_type(action: Node) -> Problems:
    if "resource" not in action.value or action.text("type") == "delete":
        return
    resource = action.value["resource"]
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        yield ("resource",), "The resource is no FHIR resource with a 'resourceType'."


def _create_without_resource(action: Node) -> Problems:
    if action.text("type") == "create" and "resource" not in action.value:
        yield (), "The action creates, and has no resource."


def _update_incomplete(action: Node) -> Problems:
    if action.text("type") != "update":
        return
    resource = action.value.get("resource")
    if resource is None:
        yield (), "The action updates, and has no resource."
    elif isinstance(resource, dict) and not isinstance(resource.get("id"), str):
        yield ("resource",), "The updated resource has no id, so it is not the whole resource."


def _delete_with_resource(action: Node) -> Problems:
    if action.text("type") == "delete" and "resource" in action.value:
        yield ("resource",), "The action deletes, and carries a 'resource'."


def _delete_without_id(action: Node) -> Problems:
    if action.text("type") == "delete" and "resourceId" not in action.value:
        yield (), "The action deletes, and does not say what."


def _delete_in_the_new_form(action: Node) -> Problems:
    resource = action.value.get("resource")
    if action.text("type") == "delete" and not isinstance(resource, str):
        yield (), "The action deletes, and has no 'resource' with the id, as 1.0 wants it."


def _resource_id_malformed(action: Node) -> Problems:
    value = action.text("resourceId")
    if value and not _REFERENCE.fullmatch(value):
        yield ("resourceId",), "The resourceId does not look like 'Type/id'."


def _description_missing(action: Node) -> Problems:
    if "description" not in action.value:
        yield (), "The system action has no 'description'."


_BOTH = (Element.ACTION, Element.SYSTEM_ACTION)

ACTION_RULES = (
    Rule("ch2:127", _BOTH, _action_unknown, "Use create, update or delete."),
    Rule(
        "ch2:128",
        (Element.SYSTEM_ACTION,),
        _description_missing,
        "Say in a sentence what the action does; 3.0 no longer asks for it.",
        versions=SECOND,
    ),
    Rule("ch2:130", _BOTH, _resource_without_type, "Send the FHIR resource as an object."),
    Rule("ch2:131", _BOTH, _create_without_resource, "Add the resource to create."),
    Rule("ch2:132", _BOTH, _update_incomplete, "Send the whole resource, with its id."),
    Rule(
        "ch2:133",
        _BOTH,
        _delete_with_resource,
        "Name what to delete in 'resourceId' and leave 'resource' out.",
        versions=SINCE_SECOND,
    ),
    Rule(
        "ch2:134",
        _BOTH,
        _delete_without_id,
        "Add 'resourceId', such as ServiceRequest/123.",
        versions=SINCE_SECOND,
    ),
    Rule("1.0", _BOTH, _delete_in_the_new_form, "Send the id in 'resource'.", versions=FIRST),
    Rule("ch2:135", _BOTH, _resource_id_malformed, "Write it as ServiceRequest/123."),
)
