"""The services of a discovery response: their ids, hooks and prefetch templates.

Source: CDS Hooks 2.0 "Prefetch Template", "Prefetch query restrictions", "Update stale guidance";
the hook library, "Prefetch Token" column of each hook.
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

from cds_service.lint.fields import Element
from cds_service.lint.rule import Problems, Rule
from cds_service.lint.target import Breach, Level, Target, Version, pointer_to
from cds_service.lint.tree import Node

_COMMON = frozenset({"userId", "patientId", "encounterId"})
# Hook -> the context fields that may be tokens.
TOKENS = {
    "patient-view": _COMMON,
    "order-select": _COMMON,
    "order-sign": _COMMON,
    "order-dispatch": frozenset({"patientId", "dispatchedOrders", "performer"}),
    "encounter-start": _COMMON,
    "encounter-discharge": _COMMON,
    "appointment-book": _COMMON,
    "problem-list-item-create": _COMMON,
    "allergyintolerance-create": _COMMON,
    "medication-refill": _COMMON,
    "medication-verify": _COMMON,
    "medication-prescribe": _COMMON,
    "order-review": _COMMON,
}
# The fields that the library forbids by a row of their own.
FORBIDDEN = {
    ("order-sign", "draftOrders"): "lib:16",
    ("appointment-book", "appointments"): "lib:32",
    ("order-dispatch", "fulfillmentTasks"): "lib:73",
    ("order-select", "selections"): "lib:89",
    ("order-select", "draftOrders"): "lib:93",
}
USER_TOKENS = frozenset(
    {"userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId"}
)
_BRACES = re.compile(r"\{\{(.*?)\}\}")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|/")
_QUERY = re.compile(r"[A-Z][A-Za-z]+(/[A-Za-z0-9\-.{}]+|\?.+)|\{\{[^{}]+\}\}")
_SAFE_MODIFIERS = {"in"}
_UNSAFE_PARAMETERS = {"_include", "_revinclude", "_has", "_filter", "_query", "_contained"}


def templates(service: Node) -> Iterator[tuple[str, str]]:
    """Yield key and text of each template."""
    prefetch = service.value.get("prefetch")
    for key, template in prefetch.items() if isinstance(prefetch, dict) else ():
        if isinstance(template, str) and template:
            yield key, template


def tokens(template: str) -> list[str]:
    """Return what stands between each `{{` and `}}`."""
    return _BRACES.findall(template)


def context_field(token: str) -> str:
    """Return the field of a plain context token, else an empty string."""
    found = re.fullmatch(r"context\.(\w+)", token)
    return found[1] if found else ""


def tokens_outside_the_rules(service: Node, target: Target) -> Iterator[Breach]:
    """Yield each token that is not one of this hook; in 3.0 a longer path is only a risk."""
    hook = service.text("hook")
    for key, template in templates(service):
        for token in tokens(template):
            found = _token_problem(hook, token, target.version)
            if found is not None:
                requirement, level, problem, fix = found
                place = pointer_to(service.pointer, "prefetch", key)
                yield Breach(requirement, level, place, problem, fix)


def _token_problem(hook: str, token: str, version: Version) -> tuple[str, Level, str, str] | None:
    shown = f"{{{{{token[:60]}}}}}"
    if token in USER_TOKENS:
        if version is not Version.V1:
            return None
        return "1.0", Level.ADVICE, f"1.0 does not know {shown}.", "Use {{context.userId}}."
    if field := context_field(token):
        return _field_problem(hook, field, shown)
    if version is Version.V3:
        fix = "Let nothing depend on it: read the data yourself when the key does not come."
        return "3.0", Level.ADVICE, f"{shown} needs an expression of 3.0, in trial use.", fix
    if token.startswith("context."):
        fix = "Use a field of the context itself whose value is no object and no array."
        return "ch2:57", Level.BREACH, f"{shown} reaches below the context's own fields.", fix
    if re.fullmatch(r"\w+", token):
        fix = f"Write {{{{context.{token[:60]}}}}}."
        return "ch2:59", Level.BREACH, f"{shown} does not say where its value is from.", fix
    fix = "Put only context.<field> or one of the four user ids between the braces."
    return "ch2:56", Level.BREACH, f"{shown} is no prefetch token.", fix


def _field_problem(hook: str, field: str, shown: str) -> tuple[str, Level, str, str] | None:
    allowed = TOKENS.get(hook)
    if allowed is None or field in allowed:
        return None
    fix = f"{hook} offers {', '.join(sorted(allowed))}."
    if row := FORBIDDEN.get((hook, field)):
        return row, Level.BREACH, f"{shown} may not be a token of {hook}.", fix
    return "ch2:56", Level.BREACH, f"{shown} is no token of {hook}.", fix


def _braces_unpaired(service: Node) -> Problems:
    for key, template in templates(service):
        rest = _BRACES.sub("", template)
        if "{" in rest or "}" in rest:
            yield ("prefetch", key), "A token does not stand between '{{' and '}}'."


def _template_absolute(service: Node) -> Problems:
    for key, template in templates(service):
        if _ABSOLUTE.match(template):
            yield ("prefetch", key), "The template is no FHIR query relative to the FHIR base."


def _template_beyond_the_subset(service: Node) -> Problems:
    for key, template in templates(service):
        if _ABSOLUTE.match(template):
            continue  # another rule's matter
        if not _QUERY.fullmatch(_BRACES.sub("{{x}}", template)):
            yield ("prefetch", key), "The template is neither a read nor a search of one type."
            continue
        for name, _ in parse_qsl(template.partition("?")[2], keep_blank_values=True):
            bare, _, modifier = name.partition(":")
            if bare in _UNSAFE_PARAMETERS or (modifier and modifier not in _SAFE_MODIFIERS):
                yield ("prefetch", key), f"'{name[:60]}' is beyond what every client can do."
            elif "." in bare:
                yield ("prefetch", key), f"'{name[:60]}' is a chained parameter."


def _key_repeated(discovery: Node) -> Problems:
    seen = set()
    for position, service in discovery.objects("services"):
        name = (str(service.get("id")), str(service.get("hook")))
        if name in seen:
            yield ("services", position), "Another service has the same id for the same hook."
        seen.add(name)


def _id_not_fit_for_a_path(service: Node) -> Problems:
    value = service.text("id")
    if value and not re.fullmatch(r"[A-Za-z0-9._~-]+", value):
        yield ("id",), "The id cannot stand in a URL as it is."


def _hook_of_nobody(service: Node) -> Problems:
    value = service.text("hook")
    if value and value not in TOKENS and "." not in value:
        yield ("hook",), f"{value[:60]!r} is no hook of the library."


_SERVICE = (Element.SERVICE,)

SERVICE_RULES = (
    Rule(
        "ch2:7",
        _SERVICE,
        _hook_of_nobody,
        "Name a custom hook after a domain of yours, such as org.example.study-available.",
        Level.ADVICE,
    ),
    Rule("ch2:16", _SERVICE, _id_not_fit_for_a_path, "Use letters, digits, '-', '.', '_'."),
    Rule("ch2:36", _SERVICE, _template_absolute, "Start with the resource type."),
    Rule("ch2:55", _SERVICE, _braces_unpaired, "Write tokens as {{context.patientId}}."),
    Rule(
        "ch2:58",
        _SERVICE,
        _template_beyond_the_subset,
        "Keep to reads, type searches, references with '=', tokens with '=' or ':in', dates, "
        "_count and _sort.",
        Level.ADVICE,
    ),
    Rule(
        "ch2:211",
        (Element.DISCOVERY,),
        _key_repeated,
        "List a service once per hook; the same id under several hooks replaces older cards.",
    ),
)
