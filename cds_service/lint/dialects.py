"""What single vendors ask for beyond the standard, as far as public pages say so.

Source: Epic's CDS Hooks tutorial (fhir.epic.com, read November 2026); Oracle Health's
unpublished `cds_hooks.md` of 2021 (cerner/fhir.cerner.com, pull request 707). Ask the vendor.
"""

import re
from collections.abc import Callable

from cds_service.lint.fields import Element
from cds_service.lint.rule import Problems, Rule
from cds_service.lint.services import context_field, templates, tokens
from cds_service.lint.target import Dialect, Level
from cds_service.lint.tree import Node

EPIC_HOOKS = ("patient-view", "order-select", "order-sign")
EPIC_FIELDS = {"patientId", "encounterId", "userId"}
EPIC_USERS = {"userPractitionerId", "userPractitionerRoleId"}
EPIC_CREATES = {"Condition", "MedicationRequest", "ServiceRequest", "ProcedureRequest"}
EPIC_DELETES = {"MedicationRequest", "ServiceRequest", "ProcedureRequest"}
CONTENT_TYPE = "com.epic.cdshooks.card.detail.content-type"
_CONTENT_TYPES = re.compile(
    r"text/(markdown(\s*;\s*variant=(GitHub|CommonMark))?|plain|html)", re.IGNORECASE
)
_TOPIC = re.compile(r"[A-Za-z0-9]{1,100}")


def _hook_unknown_to_epic(service: Node) -> Problems:
    hook = service.text("hook")
    if hook and hook not in EPIC_HOOKS:
        yield ("hook",), f"Epic does not call services on {hook[:60]!r}."


def _token_unknown_to_epic(service: Node) -> Problems:
    for key, template in templates(service):
        for token in tokens(template):
            if context_field(token) not in EPIC_FIELDS and token not in EPIC_USERS:
                yield ("prefetch", key), f"Epic does not fill in {{{{{token[:60]}}}}}."


def _behaviour_not_any(card: Node) -> Problems:
    if card.text("selectionBehavior") not in ("", "any"):
        yield ("selectionBehavior",), "Epic takes 'any' and nothing else."


def _topic_not_alphanumeric(source: Node) -> Problems:
    topic = source.value.get("topic")
    code = topic.get("code") if isinstance(topic, dict) else None
    if isinstance(code, str) and code and not _TOPIC.fullmatch(code):
        yield ("topic", "code"), "The topic's code is not 1 to 100 letters and digits."


def _topic_missing(source: Node) -> Problems:
    if "topic" not in source.value:
        yield (), "The source has no topic, by which Epic remembers overrides."


def _content_type_unknown(card: Node) -> Problems:
    extension = card.value.get("extension")
    value = extension.get(CONTENT_TYPE) if isinstance(extension, dict) else None
    if value is not None and not (isinstance(value, str) and _CONTENT_TYPES.fullmatch(value)):
        yield ("extension", CONTENT_TYPE), "Epic does not know this content type."


def _several_actions(suggestion: Node) -> Problems:
    for position, _ in suggestion.objects("actions")[1:]:
        yield ("actions", position), "Epic takes one action per suggestion."


def _action_not_taken(action: Node) -> Problems:
    kind, resource = action.text("type"), action.value.get("resource")
    if kind == "delete":
        named = action.text("resourceId").partition("/")[0]
        if named and named not in EPIC_DELETES:
            yield ("resourceId",), f"Epic does not let a suggestion delete a {named[:40]}."
    elif kind == "create" and isinstance(resource, dict):
        named = str(resource.get("resourceType"))
        if named not in EPIC_CREATES:
            yield ("resource",), f"Epic does not let a suggestion create a {named[:40]}."
    elif kind == "update":
        yield ("type",), "Epic's suggestions create and delete."


def _system_action_not_taken(action: Node) -> Problems:
    resource = action.value.get("resource")
    named = resource.get("resourceType") if isinstance(resource, dict) else None
    if action.text("type") != "update" or named != "ServiceRequest":
        yield (), "Epic's system actions only annotate an unsigned ServiceRequest."


def _uuid_missing(node: Node) -> Problems:
    if "uuid" not in node.value:
        yield (), f"The {node.element} has no uuid, so Epic sends no feedback about it."


def _hook_unknown_to_oracle(service: Node) -> Problems:
    hook = service.text("hook")
    if hook and hook != "patient-view":
        yield ("hook",), "Oracle Health has documented patient-view only."


def _context_lost_by_oracle(link: Node) -> Problems:
    if "appContext" in link.value:
        yield ("appContext",), "Oracle Health does not pass an appContext on."


def _epic(
    name: str,
    element: Element,
    problems: Callable[[Node], Problems],
    fix: str,
    level: Level = Level.BREACH,
) -> Rule:
    return Rule(f"epic:{name}", (element,), problems, fix, level, dialect=Dialect.EPIC)


DIALECT_RULES = (
    _epic("hook", Element.SERVICE, _hook_unknown_to_epic, f"Use {', '.join(EPIC_HOOKS)}."),
    _epic(
        "token",
        Element.SERVICE,
        _token_unknown_to_epic,
        "Use the patient, encounter or user of the context, or a practitioner's id.",
    ),
    _epic("selection", Element.CARD, _behaviour_not_any, "Use any."),
    _epic("topic-code", Element.SOURCE, _topic_not_alphanumeric, "Leave out dashes and dots."),
    _epic("topic", Element.SOURCE, _topic_missing, "Add one static topic.", Level.ADVICE),
    _epic(
        "content-type",
        Element.CARD,
        _content_type_unknown,
        "Use text/markdown, text/plain or text/html.",
    ),
    _epic("one-action", Element.SUGGESTION, _several_actions, "Make it several suggestions."),
    _epic(
        "action",
        Element.ACTION,
        _action_not_taken,
        "Suggest a Condition or an order, and give the rest a link.",
    ),
    _epic("system-action", Element.SYSTEM_ACTION, _system_action_not_taken, "Leave it out."),
    _epic("uuid", Element.CARD, _uuid_missing, "Add one.", Level.ADVICE),
    _epic("uuid", Element.SUGGESTION, _uuid_missing, "Add one.", Level.ADVICE),
    Rule(
        "oracle:hook",
        (Element.SERVICE,),
        _hook_unknown_to_oracle,
        "Offer the service on patient-view.",
        dialect=Dialect.ORACLE,
    ),
    Rule(
        "oracle:app-context",
        (Element.LINK,),
        _context_lost_by_oracle,
        "Put a signed, opaque id into the launch URL.",
        dialect=Dialect.ORACLE,
    ),
)
