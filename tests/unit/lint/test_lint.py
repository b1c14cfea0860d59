"""Each rule of the linter: a document that keeps all of them, and one that breaks just this one."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.lint import Dialect, Kind, Level, Target, Version, guess_kind, lint, parse
from cds_service.lint.dialects import DIALECT_RULES
from tests.unit.lint.builders import (
    a_card,
    a_deletion,
    a_reason,
    a_report,
    a_service,
    a_source,
    a_suggestion,
    acting,
    an_action,
    discovery,
    feedback,
    linking,
    overridden,
    response,
    suggesting,
)

REPOSITORY = Path(__file__).resolve().parents[3]
S, C, F = "/services/0", "/cards/0", "/feedback/0"


def found(
    document: Any,
    version: Version = Version.V2,
    dialect: Dialect | None = None,
    level: Level | None = None,
) -> list[tuple[str, str]]:
    """Requirement and pointer of each breach, of one level or of both."""
    kind = guess_kind(document)
    assert kind is not None
    breaches = lint(document, Target(kind, version, dialect))
    assert all(one.problem.endswith(".") and one.fix.endswith(".") for one in breaches)
    return [(one.requirement, one.pointer) for one in breaches if level in (None, one.level)]


# --- clean documents -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        discovery(),
        {"services": []},
        response(),
        {"cards": []},
        suggesting(a_deletion()),
        acting(type="update", resource={"resourceType": "ServiceRequest", "id": "1"}),
        feedback(),
        feedback(outcome="overridden", acceptedSuggestions=...),
        overridden(reason={"code": "c", "system": "s"}, userComment="seen already"),
        {"feedback": []},
    ],
    ids=str,
)
def test_a_document_that_keeps_the_rules_has_no_breach(document: Any) -> None:
    assert found(document) == []


def test_the_official_examples_have_no_breach(shared_data: Path) -> None:
    folder = shared_data / "cds-hooks"
    cards = json.loads((folder / "inferno/valid_cards.json").read_text())
    documents = [{"cards": [card]} for card in cards] + [
        json.loads((folder / name).read_text())
        for name in (
            "fhir-tools-ig/Binary-CDSHookServices.json",
            "fhir-tools-ig/Binary-CDSHooksResponse.json",
            "inferno/crd_authorization_hook_response.json",
            "ahrq/feedback.json",
        )
    ]

    assert [breach for document in documents for breach in found(document)] == []
    assert len(cards) == 7


def test_the_system_actions_of_crd_have_no_breach_but_a_missing_description(
    shared_data: Path,
) -> None:
    for path in sorted((shared_data / "cds-hooks/inferno").glob("*system_action*.json")):
        document = {"cards": [], "systemActions": [json.loads(path.read_text())]}

        assert set(found(document)) <= {("ch2:128", "/systemActions/0")}
        assert found(document, Version.V3) == []


# --- one rule at a time ----------------------------------------------------------------------

BROKEN = [
    # discovery
    ("ch2:6", "/services", {"services": {}}),
    ("ch2:6", "/services/0", {"services": ["text"]}),
    ("ch2:7", S, discovery(hook=...)),
    ("ch2:7", f"{S}/hook", discovery(hook=5)),
    ("ch2:9", S, discovery(description=...)),
    ("ch2:10", S, discovery(id=...)),
    ("ch2:11", f"{S}/prefetch", discovery(prefetch=[1])),
    ("ch2:11", f"{S}/prefetch/a~1b", discovery(prefetch={"a/b": 5})),
    ("ch2:12", f"{S}/usageRequirements", discovery(usageRequirements=True)),
    ("ch2:16", f"{S}/id", discovery(id="a b")),
    ("ch2:211", "/services/1", discovery(a_service(), a_service())),
    # prefetch templates
    ("ch2:36", f"{S}/prefetch/k", discovery(prefetch={"k": "https://ehr.example/Patient/1"})),
    ("ch2:36", f"{S}/prefetch/k", discovery(prefetch={"k": "/Patient/{{context.patientId}}"})),
    ("ch2:55", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient/{{context.patientId}"})),
    ("ch2:56", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient/{{ context.patientId }}"})),
    ("ch2:56", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient?birthdate={{today()}}"})),
    ("ch2:56", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient/{{context.nobody}}"})),
    ("ch2:57", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient/{{context.a.b}}"})),
    ("ch2:59", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient/{{patientId}}"})),
    # cards
    ("ch2:74", "/cards", {"cards": a_card()}),
    ("ch2:74", "", {"systemActions": [an_action()]}),
    ("ch2:75", "/systemActions", {"cards": [], "systemActions": an_action()}),
    ("ch2:80", f"{C}/uuid", response(uuid=5)),
    ("ch2:80", "/cards/1/uuid", {"cards": [a_card(), a_card()]}),
    ("ch2:83", C, response(summary=...)),
    ("ch2:83", f"{C}/summary", response(summary=["a"])),
    ("ch2:83", f"{C}/summary", response(summary="s" * 140)),
    ("ch2:84", f"{C}/detail", response(detail=5)),
    ("ch2:87", C, response(indicator=...)),
    ("ch2:88", f"{C}/indicator", response(indicator="hard-stop")),
    ("ch2:90", C, response(source=...)),
    ("ch2:90", f"{C}/source", response(source="Example")),
    ("ch2:92", f"{C}/suggestions", response(suggestions=a_suggestion())),
    ("ch2:93", C, response(selectionBehavior=...)),
    ("ch2:95", f"{C}/selectionBehavior", response(selectionBehavior="all")),
    ("ch2:96", f"{C}/selectionBehavior", response(selectionBehavior=5)),
    ("ch2:98", f"{C}/overrideReasons", response(overrideReasons=a_reason())),
    ("ch2:98", f"{C}/overrideReasons/0", response(overrideReasons=["r1"])),
    ("ch2:100", f"{C}/overrideReasons/0", response(overrideReasons=[a_reason(display=...)])),
    ("ch2:103", f"{C}/links", response(links="https://ai.example.org")),
    ("ch2:105", f"{C}/source", response(source=a_source(label=...))),
    ("ch2:107", f"{C}/source/url", response(source=a_source(url="/here"))),
    ("ch2:107", f"{C}/source/url", response(source=a_source(url=5))),
    ("ch2:107", f"{C}/source/url", response(source=a_source(url="http://[broken"))),
    ("ch2:111", f"{C}/source/icon", response(source=a_source(icon="icon.png"))),
    ("ch2:115", f"{C}/source/topic", response(source=a_source(topic="pneumonia"))),
    ("ch2:216", f"{C}/source/topic", response(source=a_source(topic={"system": "s"}))),
    ("ch2:217", f"{C}/source/topic", response(source=a_source(topic={"code": "c"}))),
    (
        "ch2:220",
        f"{C}/source/topic/display",
        response(source=a_source(topic={"code": "c", "system": "s", "display": 5})),
    ),
    # suggestions and actions
    ("ch2:117", f"{C}/suggestions/0", suggesting(label=...)),
    ("ch2:119", f"{C}/suggestions/0/uuid", suggesting(uuid=5)),
    ("ch2:121", f"{C}/suggestions/0/isRecommended", suggesting(isRecommended="true")),
    (
        "ch2:122",
        f"{C}/suggestions/1/isRecommended",
        response(suggestions=[a_suggestion(), a_suggestion()], selectionBehavior="at-most-one"),
    ),
    ("ch2:124", f"{C}/suggestions/0/actions", suggesting(actions=an_action())),
    ("ch2:127", f"{C}/suggestions/0/actions/0", suggesting(an_action(type=...))),
    ("ch2:127", f"{C}/suggestions/0/actions/0/type", suggesting(an_action(type="replace"))),
    ("ch2:128", f"{C}/suggestions/0/actions/0", suggesting(an_action(description=...))),
    ("ch2:128", "/systemActions/0", acting(description=...)),
    ("ch2:130", f"{C}/suggestions/0/actions/0/resource", suggesting(an_action(resource={"a": 1}))),
    ("ch2:130", "/systemActions/0/resource", acting(resource="ServiceRequest/1")),
    ("ch2:131", f"{C}/suggestions/0/actions/0", suggesting(an_action(resource=...))),
    ("ch2:132", "/systemActions/0", acting(type="update", resource=...)),
    ("ch2:132", "/systemActions/0/resource", acting(type="update")),
    (
        "ch2:133",
        f"{C}/suggestions/0/actions/0/resource",
        suggesting(a_deletion(resource="ServiceRequest/1")),
    ),
    ("ch2:134", f"{C}/suggestions/0/actions/0", suggesting(a_deletion(resourceId=...))),
    ("ch2:135", f"{C}/suggestions/0/actions/0/resourceId", suggesting(a_deletion(resourceId=1))),
    (
        "ch2:135",
        f"{C}/suggestions/0/actions/0/resourceId",
        suggesting(a_deletion(resourceId="one")),
    ),
    # links, extensions
    ("ch2:138", f"{C}/links/0", linking(label=...)),
    ("ch2:139", f"{C}/links/0", linking(url=...)),
    ("ch2:139", f"{C}/links/0/url", linking(url="launch")),
    ("ch2:139", f"{C}/links/0/url", linking(url="https://ai.example.org/a b")),
    ("ch2:141", f"{C}/links/0", linking(type=...)),
    ("ch2:142", f"{C}/links/0/type", linking(type="relative")),
    ("ch2:144", f"{C}/links/0/appContext", linking(appContext={"study": 1})),
    ("ch2:147", f"{C}/links/0/appContext", linking(type="absolute")),
    ("ch2:214", f"{C}/extension", response(extension=[{"url": "x"}])),
    # feedback
    ("ch2:154", "/feedback", {"feedback": a_report()}),
    ("ch2:155", F, feedback(card=...)),
    ("ch2:156", F, feedback(outcome=...)),
    ("ch2:156", f"{F}/outcome", feedback(outcome="ignored")),
    ("ch2:158", F, feedback(acceptedSuggestions=...)),
    ("ch2:158", f"{F}/acceptedSuggestions/0", feedback(acceptedSuggestions=["x"])),
    ("ch2:159", f"{F}/overrideReason", feedback(overrideReason="no")),
    ("ch2:161", F, feedback(outcomeTimestamp=...)),
    ("ch2:161", f"{F}/outcomeTimestamp", feedback(outcomeTimestamp="2026-01-05 09:00:00Z")),
    ("ch2:161", f"{F}/outcomeTimestamp", feedback(outcomeTimestamp="2026-01-05T09:00:00")),
    ("ch2:161", f"{F}/outcomeTimestamp", feedback(outcomeTimestamp="2026-01-05T09:00:00+01:00")),
    ("ch2:161", f"{F}/outcomeTimestamp", feedback(outcomeTimestamp="2026-13-05T09:00:00Z")),
    ("ch2:162", f"{F}/acceptedSuggestions/0", feedback(acceptedSuggestions=[{"x.y": 1}])),
    ("ch2:165", f"{F}/overrideReason/reason", overridden(reason="r1")),
    ("ch2:166", f"{F}/overrideReason/userComment", overridden(userComment=5)),
]


@pytest.mark.parametrize(
    ("requirement", "pointer", "document"), BROKEN, ids=[f"{one[0]}{one[1]}" for one in BROKEN]
)
def test_a_broken_rule_is_found_by_its_id_and_place(
    requirement: str, pointer: str, document: Any
) -> None:
    breaches = found(document, level=Level.BREACH)

    assert breaches[-1:] == [(requirement, pointer)]
    assert {one for one, _ in breaches} <= {requirement, "ch2:3"}


@pytest.mark.parametrize(
    ("hook", "field", "row"),
    [
        ("order-sign", "draftOrders", "lib:16"),
        ("appointment-book", "appointments", "lib:32"),
        ("order-dispatch", "fulfillmentTasks", "lib:73"),
        ("order-select", "selections", "lib:89"),
        ("order-select", "draftOrders", "lib:93"),
    ],
)
def test_a_context_field_that_is_no_token_is_found_by_the_row_of_its_hook(
    hook: str, field: str, row: str
) -> None:
    template = f"Patient?x={{{{context.{field}}}}}"

    assert found(discovery(hook=hook, prefetch={"k": template})) == [(row, f"{S}/prefetch/k")]


def test_the_tokens_of_a_hook_that_nobody_knows_are_not_judged() -> None:
    prefetch = {"k": "Patient/{{context.anything}}", "u": "Practitioner/{{userPractitionerId}}"}

    assert found(discovery(hook="org.example.study-available", prefetch=prefetch)) == []


@pytest.mark.parametrize(
    ("requirement", "pointer", "document"),
    [
        ("ch2:7", f"{S}/hook", discovery(hook="study-available")),
        ("ch2:8", S, discovery(title=...)),
        ("ch2:58", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient?_include=Patient:link"})),
        ("ch2:58", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient?name:exact=x"})),
        ("ch2:58", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient?link.name=x"})),
        ("ch2:58", f"{S}/prefetch/k", discovery(prefetch={"k": "Patient/$everything"})),
        ("ch2:85", f"{C}/detail", response(detail="a <b>bold</b> claim")),
        ("ch2:214", f"{C}/links/0/autoLaunchable", linking(autoLaunchable=True)),
        ("ch2:215", f"{C}/extension/generatedAt", response(extension={"generatedAt": "now"})),
    ],
)
def test_what_should_be_otherwise_is_advice(requirement: str, pointer: str, document: Any) -> None:
    assert found(document, level=Level.BREACH) == []
    assert found(document, level=Level.ADVICE) == [(requirement, pointer)]


def test_a_misspelled_field_is_named_with_the_right_one() -> None:
    (breach,) = lint(linking(appcontext="x", appContext=...), Target(Kind.RESPONSE))

    assert "Did you mean 'appContext'?" in breach.fix


# --- null and empty --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", [], {}], ids=repr)
def test_an_empty_value_is_found_wherever_it_stands(value: Any) -> None:
    resource = {"resourceType": "ServiceRequest", "note": [{"text": value}]}
    document = {"cards": [a_card(suggestions=[a_suggestion(an_action(resource=resource))])]}
    pointer = f"{C}/suggestions/0/actions/0/resource/note/0/text"

    assert found(document) == [("ch2:3", pointer)]


def test_empty_system_actions_are_found_and_empty_cards_are_not() -> None:
    assert found({"cards": [], "systemActions": []}) == [("ch2:3", "/systemActions")]


def test_the_nulls_that_pad_a_fhir_primitive_are_no_breach() -> None:
    resource = {
        "resourceType": "Patient",
        "given": ["A", None],
        "_given": [None, {"id": "g"}],
        "family": [None],
    }

    breaches = found(suggesting(an_action(resource=resource)))

    assert breaches == [("ch2:3", f"{C}/suggestions/0/actions/0/resource/family/0")]


# --- versions --------------------------------------------------------------------------------


def test_a_1_0_client_does_not_know_what_came_with_2_0() -> None:
    document = response(selectionBehavior="at-most-one")

    advice = found(document, Version.V1)

    places = {f"{C}/uuid", f"{C}/overrideReasons", f"{C}/source/topic"}
    assert set(advice) == {
        ("1.0", pointer) for pointer in places | {f"{C}/suggestions/0/isRecommended"}
    }


def test_1_0_knows_one_selection_behaviour_and_another_form_of_delete() -> None:
    old = suggesting({"type": "delete", "description": "d", "resource": "ServiceRequest/1"})
    old["cards"][0]["selectionBehavior"] = "at-most-one"

    assert found(old, Version.V1, level=Level.BREACH) == []
    assert found(suggesting(a_deletion()), Version.V1, level=Level.BREACH) == [
        ("1.0", f"{C}/selectionBehavior"),
        ("1.0", f"{C}/suggestions/0/actions/0"),
    ]
    assert ("ch2:133", f"{C}/suggestions/0/actions/0/resource") in found(old)


def test_1_0_has_no_user_tokens_and_no_feedback() -> None:
    document = discovery(prefetch={"u": "Practitioner/{{userPractitionerId}}"})

    assert found(document, Version.V1) == [("1.0", f"{S}/prefetch/u")]
    assert found(feedback(), Version.V1) == [("1.0", "/feedback")]


def test_3_0_asks_for_a_version_and_takes_expressions_as_a_risk() -> None:
    document = discovery(prefetch={"k": "Patient?birthdate={{today() - 90 days}}"})

    assert found(document, Version.V3, level=Level.BREACH) == []
    assert found(document, Version.V3) == [("3.0", S), ("3.0", f"{S}/prefetch/k")]


def test_what_3_0_brings_is_unknown_to_2_0() -> None:
    document = linking(autolaunchable=True)

    assert found(document) == [("2.0", f"{C}/links/0/autolaunchable")]
    assert found(document, Version.V3) == []


def test_3_0_types_a_uuid_as_one() -> None:
    assert found(response(uuid="card-1")) == []
    assert found(response(uuid="card-1"), Version.V3) == [("3.0", f"{C}/uuid")]


# --- dialects --------------------------------------------------------------------------------

TOPIC = {"system": "s", "code": "lung-1"}
OBSERVATION = an_action(resource={"resourceType": "Observation"})
TEXT_TYPE = {"com.epic.cdshooks.card.detail.content-type": "text/rtf"}


@pytest.mark.parametrize(
    ("requirement", "pointer", "document"),
    [
        ("epic:hook", f"{S}/hook", discovery(hook="encounter-start")),
        (
            "epic:token",
            f"{S}/prefetch/k",
            discovery(prefetch={"k": "RelatedPerson/{{userRelatedPersonId}}"}),
        ),
        ("epic:selection", f"{C}/selectionBehavior", response(selectionBehavior="at-most-one")),
        ("epic:topic-code", f"{C}/source/topic/code", response(source=a_source(topic=TOPIC))),
        ("epic:topic", f"{C}/source", response(source=a_source(topic=...))),
        (
            "epic:content-type",
            f"{C}/extension/com.epic.cdshooks.card.detail.content-type",
            response(extension=TEXT_TYPE),
        ),
        (
            "epic:one-action",
            f"{C}/suggestions/0/actions/1",
            suggesting(an_action(), a_deletion()),
        ),
        ("epic:action", f"{C}/suggestions/0/actions/0/resource", suggesting(OBSERVATION)),
        (
            "epic:action",
            f"{C}/suggestions/0/actions/0/resourceId",
            suggesting(a_deletion(resourceId="Observation/1")),
        ),
        (
            "epic:action",
            f"{C}/suggestions/0/actions/0/type",
            suggesting(an_action(type="update", resource={"resourceType": "Task", "id": "1"})),
        ),
        ("epic:system-action", "/systemActions/0", acting()),
        ("epic:uuid", C, response(uuid=...)),
        ("epic:uuid", f"{C}/suggestions/0", suggesting(uuid=...)),
    ],
)
def test_what_epic_does_not_take_is_found(requirement: str, pointer: str, document: Any) -> None:
    assert found(document, dialect=Dialect.EPIC) == [(requirement, pointer)]
    assert found(document) == []


@pytest.mark.parametrize(
    "value", ["text/markdown", "text/markdown; variant=GitHub", "text/plain", "text/html"]
)
def test_epic_s_content_types_are_known(value: str) -> None:
    extension = {"com.epic.cdshooks.card.detail.content-type": value}

    assert found(response(extension=extension), dialect=Dialect.EPIC) == []


def test_epic_s_own_form_of_feedback_is_known_to_epic_only() -> None:
    document = feedback(
        outcome="overridden",
        acceptedSuggestions=...,
        overrideReasons={"reason": {"code": "c", "system": "s"}, "userComment": "x"},
    )

    assert found(document, dialect=Dialect.EPIC) == []
    assert found(document) == [("ch2:214", f"{F}/overrideReasons")]


def test_oracle_passes_no_app_context_and_calls_one_hook() -> None:
    assert found(response(), dialect=Dialect.ORACLE) == [
        ("oracle:app-context", f"{C}/links/0/appContext")
    ]
    assert found(discovery(hook="order-sign"), dialect=Dialect.ORACLE) == [
        ("oracle:hook", f"{S}/hook")
    ]


def test_every_rule_of_a_vendor_is_on_the_page() -> None:
    page = (REPOSITORY / "docs/how-to/lint-a-cds-service.md").read_text()

    named = {rule.requirement for rule in DIALECT_RULES}

    assert named and {one for one in named if f"`{one}`" not in page} == set()


# --- any document ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [(b"", " at line 1"), (b'{\n "cards": [],\n}', " at line 3"), (b"\xff", ""), (b"NaN", "")],
)
def test_what_is_no_json_breaks_the_first_rule(text: bytes, line: str) -> None:
    document, (breach,) = parse(text)

    assert document is None and breach.requirement == "ch2:1"
    assert breach.problem == f"The document is no JSON{line}."


@pytest.mark.parametrize("text", [b"[" * 300 + b"]" * 300, b"[" * 100_000])
def test_a_document_nested_too_deeply_is_refused(text: bytes) -> None:
    _, (breach,) = parse(text)

    assert breach.requirement == "ch2:1"


@pytest.mark.parametrize(
    ("kind", "row"),
    [(Kind.DISCOVERY, "ch2:6"), (Kind.RESPONSE, "ch2:74"), (Kind.FEEDBACK, "ch2:154")],
)
def test_a_document_that_is_no_object_breaks_the_first_rule_of_its_kind(
    kind: Kind, row: str
) -> None:
    for document in ([], "text", None, 5):
        (breach,) = lint(document, Target(kind))
        assert (breach.requirement, breach.pointer) == (row, "")


def test_a_document_of_no_kind_is_not_guessed() -> None:
    assert [guess_kind(one) for one in ({}, [], None, {"card": 1})] == [None] * 4


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resource", "type", "url", "actions", "uuid", "prefetch", "topic", "~/"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    keys = document.keys() if isinstance(document, dict) else range(len(document))
    for key in list(keys):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from places(document[key])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_value_anywhere_stops_the_linter_or_points_outside_the_document(
    data: st.DataObject,
) -> None:
    document = copy.deepcopy(
        data.draw(st.sampled_from([discovery(), response(), acting(), feedback(), overridden()]))
    )
    kind = guess_kind(document)
    assert kind is not None
    holder, key = data.draw(st.sampled_from(list(places(document))))
    holder[key] = data.draw(JUNK)
    dialect = data.draw(st.sampled_from([None, *Dialect]))

    for version in Version:
        for breach in lint(document, Target(kind, version, dialect)):
            value: Any = document
            for step in breach.pointer.split("/")[1:]:
                name = step.replace("~1", "/").replace("~0", "~")
                value = value[int(name) if isinstance(value, list) else name]
