"""What each dialect writes; names carry the requirement, or the page of the vendor."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.domain.card import Card, Indicator, SelectionBehavior, Source, Suggestion
from cds_service.domain.dialect import DIALECTS, DialectName, TopicForm, hook_version
from cds_service.domain.finding import Coding
from cds_service.lint import Dialect, Kind, Target, Version, lint
from cds_service.web.cards_json import CardsJson, service_json
from tests.builders import a_result, a_study
from tests.unit.cards.builders import a_call, a_writer
from tests.unit.dialects.builders import (
    OBSERVATION,
    ORDER,
    TASK,
    a_card,
    a_suggestion,
    creating,
    deleting,
    written,
)

STRICT, V1, V3 = DialectName.STRICT_2_0, DialectName.V1_0, DialectName.BALLOT_3_0
EPIC, ORACLE = DialectName.EPIC, DialectName.ORACLE
TARGETS = {
    STRICT: Target(Kind.RESPONSE),
    V1: Target(Kind.RESPONSE, Version.V1),
    V3: Target(Kind.RESPONSE, Version.V3),
    EPIC: Target(Kind.RESPONSE, dialect=Dialect.EPIC),
    ORACLE: Target(Kind.RESPONSE, Version.V1, Dialect.ORACLE),
}
FOLLOW_UP = a_suggestion("follow-up", creating(ORDER), is_recommended=True)
ACKNOWLEDGE = a_suggestion("acknowledge", creating(TASK))
REMOVE = a_suggestion("remove", deleting("ServiceRequest/draft-1"))
KEEP = a_suggestion("keep")
every_dialect = pytest.mark.parametrize("name", DialectName)

actions = st.sampled_from(
    [creating(ORDER), creating(TASK), creating(OBSERVATION), deleting("Task/1")]
)
suggestions = st.builds(
    Suggestion,
    uuid=st.uuids().map(str),
    label=st.sampled_from(["a", "b"]),
    actions=st.lists(actions, max_size=3).map(tuple),
)
codes = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@st.composite
def cards(draw: st.DrawFn) -> Card:
    offered = draw(st.lists(suggestions, max_size=4, unique_by=lambda one: one.uuid))
    return a_card(
        *offered,
        uuid=str(draw(st.uuids())),
        indicator=draw(st.sampled_from(Indicator)),
        selection_behavior=draw(st.sampled_from(SelectionBehavior)) if offered else None,
        source=Source("Model", None, Coding("https://example.org", "x" + draw(codes), "")),
        detail_markdown=draw(st.sampled_from(["", "one", "**Looks for:** a\n\nb"])),
        override_reasons=(),
        extension={},
    )


# The first text of a fresh checkout reads Hypothesis's Unicode tables, which takes a second.
@every_dialect
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(card=cards())
def test_ch2_3_whatever_a_card_holds_its_dialect_writes_it_by_the_rules(
    name: DialectName, card: Card
) -> None:
    answer = CardsJson(DIALECTS[name], lambda text: text[::-1]).response([card])

    assert [str(breach) for breach in lint(answer, TARGETS[name]) if breach.level == "breach"] == []


@every_dialect
def test_every_dialect_has_an_entry_and_keeps_summary_indicator_source_and_link(
    name: DialectName,
) -> None:
    card = written(name, a_card())

    assert card["summary"].startswith("Chest X-ray 2 Jan 2026") and card["indicator"] == "warning"
    assert card["source"]["label"] == "Model"
    assert card["links"][0]["type"] == "smart" and "org.example.result" in card["extension"]


# --- 2.0, 1.0 and 3.0 ------------------------------------------------------------------------


def test_strict_2_0_leaves_nothing_out() -> None:
    card = written(STRICT, a_card(FOLLOW_UP, ACKNOWLEDGE, REMOVE, KEEP))

    assert [one["label"] for one in card["suggestions"]] == [
        "follow-up",
        "acknowledge",
        "remove",
        "keep",
    ]
    assert card["selectionBehavior"] == "at-most-one" and card["uuid"] and card["overrideReasons"]
    assert card["suggestions"][0]["isRecommended"] is True
    assert card["suggestions"][2]["actions"][0]["resourceId"] == "ServiceRequest/draft-1"
    assert card["source"]["topic"]["code"] == "233604007"
    assert card["links"][0]["appContext"] == '{"study":"1.2"}'


def test_a_1_0_client_gets_no_uuid_reason_topic_or_recommendation() -> None:
    card = written(V1, a_card(FOLLOW_UP))

    assert not {"uuid", "overrideReasons"} & set(card) and "topic" not in card["source"]
    assert set(card["suggestions"][0]) == {"label", "actions"}


def test_a_1_0_client_finds_the_id_of_a_delete_in_resource() -> None:
    (action,) = written(V1, a_card(REMOVE))["suggestions"][0]["actions"]

    assert action["resource"] == "ServiceRequest/draft-1" and "resourceId" not in action


def test_any_becomes_at_most_one_for_a_1_0_client() -> None:
    card = a_card(FOLLOW_UP, ACKNOWLEDGE, selection_behavior=SelectionBehavior.ANY)

    assert written(V1, card)["selectionBehavior"] == "at-most-one"
    assert len(written(V1, card)["suggestions"]) == 2


def test_a_3_0_client_reads_the_versions_of_specification_and_hook_in_discovery() -> None:
    def versions(name: DialectName, hook: str) -> tuple[str | None, str | None]:
        service = service_json(
            service_id="s",
            hook=hook,
            title="t",
            description="d",
            prefetch={},
            dialect=DIALECTS[name],
        )
        return service.get("version"), service.get("hookVersion")

    assert versions(V3, "patient-view") == ("3.0.0", "1.0")
    assert versions(V3, "order-dispatch") == ("3.0.0", "1.1")
    assert versions(STRICT, "patient-view") == (None, None)
    assert hook_version("order-sign") == "1.0"


# --- Epic ------------------------------------------------------------------------------------


def test_epic_gets_only_actions_that_it_files_and_no_observation() -> None:
    for action in (creating(OBSERVATION), creating(TASK), deleting("Task/1")):
        assert "suggestions" not in written(EPIC, a_card(a_suggestion("x", action)))

    assert len(written(EPIC, a_card(FOLLOW_UP))["suggestions"]) == 1


def test_epic_gets_no_part_of_a_suggestion_with_several_actions() -> None:
    several = a_suggestion("both", creating(ORDER), deleting("ServiceRequest/draft-1"))

    card = written(EPIC, a_card(several, KEEP))

    assert "suggestions" not in card and "selectionBehavior" not in card


def test_epic_gets_any_with_one_of_the_suggestions_that_exclude_each_other() -> None:
    card = written(EPIC, a_card(REMOVE, FOLLOW_UP))

    assert card["selectionBehavior"] == "any"
    assert [one["label"] for one in card["suggestions"]] == ["follow-up"]


def test_epic_gets_all_suggestions_that_may_be_combined() -> None:
    card = a_card(REMOVE, FOLLOW_UP, selection_behavior=SelectionBehavior.ANY)

    assert len(written(EPIC, card)["suggestions"]) == 2


def test_epic_s_topic_is_alphanumeric_and_differs_by_kind_of_card() -> None:
    topic = Coding("http://loinc.org", "30746-2" + "x" * 200, "Chest")
    codes = [
        written(EPIC, a_card(indicator=one, source=Source("M", None, topic)))["source"]["topic"]
        for one in Indicator
    ]

    assert len({one["code"] for one in codes}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9]{1,100}", one["code"]) for one in codes)
    assert all(one["system"] and one["display"] == "Chest" for one in codes)


def test_epic_is_told_that_the_detail_is_markdown() -> None:
    key = "com.epic.cdshooks.card.detail.content-type"

    assert written(EPIC, a_card())["extension"][key] == "text/markdown; variant=GitHub"
    assert key not in written(EPIC, a_card(detail_markdown=""))["extension"]
    assert key not in written(STRICT, a_card())["extension"]


def test_a_card_without_a_topic_has_none_in_any_dialect() -> None:
    card = a_card(source=Source("Model"))

    assert all("topic" not in written(name, card)["source"] for name in DialectName)
    assert {dialect.topic for dialect in DIALECTS.values()} == set(TopicForm)


# --- Oracle Health ---------------------------------------------------------------------------


def test_oracle_s_link_carries_a_sealed_context_in_its_address() -> None:
    (link,) = written(ORACLE, a_card())["links"]

    assert link == {
        "label": "Open",
        "type": "smart",
        "url": "https://ai.example.org/app/launch?ctx=" + '{"study":"1.2"}'[::-1],
    }


def test_oracle_s_narrow_panel_gets_no_paragraph_that_the_app_shows_too() -> None:
    detail = written(ORACLE, a_card())["detail"]

    assert detail.split("\n\n") == ["score", "**Model:** m", "**Next:** look", "Not a device."]


def test_the_paragraphs_of_our_own_cards_have_the_labels_that_oracle_s_dialect_knows() -> None:
    card = a_writer().of_result(a_call(), a_result(), a_study())

    full, short = card.detail_markdown, written(ORACLE, card)["detail"]

    assert "**Looks for:**" in full and "**Does not look for:**" in full
    assert "ooks for" not in short and "ook for:" not in short
    assert "**Model:**" in short and "**Next:**" in short and "Not a medical device" in short


def test_oracle_is_offered_patient_view_and_epic_its_three_hooks() -> None:
    def offered(name: DialectName) -> list[str]:
        hooks = ("patient-view", "order-select", "order-sign", "order-dispatch")
        return [hook for hook in hooks if DIALECTS[name].offers(hook)]

    assert offered(ORACLE) == ["patient-view"]
    assert offered(EPIC) == ["patient-view", "order-select", "order-sign"]
    assert len(offered(STRICT)) == 4
