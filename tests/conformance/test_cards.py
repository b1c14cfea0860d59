"""What is on a card: of every kind that the service answers with, field by field."""

import json
import re
from itertools import chain
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from cds_service.domain.dialect import DialectName
from cds_service.usecases.seal_context import open_context
from tests.conformance import answers
from tests.conformance.answers import every_card
from tests.unit.cards.builders import PUBLIC_URL
from tests.web.conftest import VAULT, FrontDoor
from tests.web.ehr_client import a_hook_body

Json = dict[str, Any]


@pytest.fixture
def cards(door: FrontDoor) -> list[Json]:
    return every_card(door)


def of_each(cards: list[Json], name: str) -> list[Json]:
    """The members of an array of the cards; there is at least one."""
    members = list(chain.from_iterable(card.get(name, []) for card in cards))
    assert members
    return members


def is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_absolute(url: str) -> bool:
    return bool(urlsplit(url).scheme == "https" and urlsplit(url).netloc)


# --- the answer ------------------------------------------------------------------------------


@pytest.mark.requirement("ch2:74")
def test_an_answer_is_200_and_an_object_with_cards(door: FrontDoor) -> None:
    answer = door.post()

    assert answer.status_code == 200 and set(answer.json) == {"cards"}
    assert [type(card) for card in answer.json["cards"]] == [dict]


@pytest.mark.requirement("ch2:77")
def test_nothing_to_say_is_200_with_no_card(door: FrontDoor) -> None:
    answer = door.post(a_hook_body(prefetch={"studies": None}))

    assert answer.status_code == 200 and answer.json == {"cards": []}


@pytest.mark.requirement("ch2:210")
def test_guidance_is_renewed_when_another_hook_comes(door: FrontDoor) -> None:
    (first,) = answers.running(door)["cards"]

    (renewed,) = answers.found(door)["cards"]

    assert "queued" in first["summary"] and "signs of pneumonia" in renewed["summary"]
    assert first["uuid"] != renewed["uuid"]


# --- the card --------------------------------------------------------------------------------


@pytest.mark.requirement("ch2:80")
def test_every_card_of_an_answer_has_a_uuid_of_its_own(door: FrontDoor) -> None:
    each = [[card["uuid"] for card in answer["cards"]] for answer in answers.every_answer(door)]

    assert max(len(uuids) for uuids in each) > 1
    for uuids in each:
        assert all(str(UUID(uuid)) == uuid for uuid in uuids) and len(set(uuids)) == len(uuids)


@pytest.mark.requirement("ch2:82")
def test_a_card_s_uuid_finds_it_again_in_the_ledger(door: FrontDoor) -> None:
    (card,) = answers.found(door)["cards"]
    report = {
        "card": card["uuid"],
        "outcome": "overridden",
        "outcomeTimestamp": "2026-01-05T09:00:00Z",
    }

    answer = door.post({"feedback": [report]}, path="/feedback")

    (stored,) = door.house.cards.reports.values()
    assert answer.status_code == 200 and stored.card_uuid == card["uuid"]


@pytest.mark.requirement("ch2:83")
def test_every_summary_is_a_text_of_less_than_140_characters(cards: list[Json]) -> None:
    assert all(is_text(card["summary"]) and len(card["summary"]) < 140 for card in cards)


@pytest.mark.requirement("ch2:84", "ch2:85")
def test_every_detail_is_markdown_without_html(cards: list[Json]) -> None:
    for card in cards:
        assert re.search(r"^\*\*[^*]+:\*\* ", card["detail"], re.MULTILINE)
        assert not re.search(r"<[A-Za-z/!]", card["detail"])


@pytest.mark.requirement("ch2:87", "ch2:88")
def test_every_indicator_is_one_of_three(door: FrontDoor, cards: list[Json]) -> None:
    assert {card["indicator"] for card in cards} == {"info", "warning"}


@pytest.mark.requirement("ch2:87", "ch2:88")
def test_a_critical_finding_is_a_critical_card(door: FrontDoor) -> None:
    (card,) = answers.found(door, critical=True)["cards"]

    assert card["indicator"] == "critical"


@pytest.mark.requirement("ch2:98", "ch2:99", "ch2:100", "ch2:136", "ch2:219")
def test_every_override_reason_can_be_read(cards: list[Json]) -> None:
    for reason in of_each(cards, "overrideReasons"):
        assert is_text(reason["display"]) and " " in reason["display"]
        assert reason["display"] != reason["code"]


@pytest.mark.requirement("ch2:216", "ch2:217", "ch2:218", "ch2:219", "ch2:220")
def test_every_coding_has_code_and_system_as_text(cards: list[Json]) -> None:
    codings = [*of_each(cards, "overrideReasons"), *(card["source"]["topic"] for card in cards)]

    for coding in codings:
        assert set(coding) == {"system", "code", "display"}
        assert all(is_text(value) for value in coding.values())


@pytest.mark.requirement("ch2:214", "ch2:215")
def test_every_extension_is_an_object_under_a_reverse_domain_name(cards: list[Json]) -> None:
    extensions = [card["extension"] for card in cards if "extension" in card]

    assert extensions
    for extension in extensions:
        assert isinstance(extension, dict)
        assert all(re.fullmatch(r"[a-z]+(\.[a-zA-Z-]+){2,}", name) for name in extension)


# --- the source ------------------------------------------------------------------------------


@pytest.mark.requirement("ch2:90", "ch2:105", "ch2:106", "ch2:107")
def test_every_source_is_labelled_and_its_label_can_link_to_it(cards: list[Json]) -> None:
    for card in cards:
        assert is_text(card["source"]["label"]) and is_absolute(card["source"]["url"])


@pytest.mark.requirement("ch2:109", "ch2:110")
def test_the_study_is_reached_by_the_link_and_not_by_the_source(door: FrontDoor) -> None:
    cards = every_card(door)

    (source,) = {card["source"]["url"] for card in cards}
    assert source.startswith(f"{PUBLIC_URL}/app/models/")  # one page, of the model
    studies = {json.loads(link["appContext"])["study"] for link in of_each(cards, "links")}
    assert studies >= {"1.2.840.99999.1", "1.2.840.99999.2"}


@pytest.mark.requirement("ch2:115", "ch2:220")
def test_every_source_has_the_finding_as_its_topic(cards: list[Json]) -> None:
    (topic,) = {json.dumps(card["source"]["topic"]) for card in cards}

    assert json.loads(topic)["display"] == "Pneumonia"


# --- suggestions and actions -----------------------------------------------------------------


@pytest.mark.requirement("ch2:92", "ch2:117", "ch2:119", "ch2:124")
def test_every_suggestion_has_a_label_a_uuid_and_an_array_of_actions(cards: list[Json]) -> None:
    for suggestion in of_each(cards, "suggestions"):
        assert is_text(suggestion["label"])
        assert str(UUID(suggestion["uuid"])) == suggestion["uuid"]
        assert isinstance(suggestion.get("actions", []), list)


@pytest.mark.requirement("ch2:93", "ch2:95", "ch2:96")
def test_how_many_suggestions_may_be_chosen_is_said_with_them_and_only_then(
    cards: list[Json],
) -> None:
    for card in cards:
        assert ("suggestions" in card) == ("selectionBehavior" in card)
    assert {card["selectionBehavior"] for card in cards if "suggestions" in card} == {
        "any",
        "at-most-one",
    }


@pytest.mark.requirement("ch2:120", "ch2:123")
def test_nothing_is_recommended_and_keeping_an_order_does_nothing(cards: list[Json]) -> None:
    suggestions = of_each(cards, "suggestions")

    assert not any("isRecommended" in one for one in suggestions)
    (idle,) = {one["label"] for one in suggestions if "actions" not in one}
    assert idle == "Keep the order"


@pytest.mark.requirement("ch2:125")
def test_two_orders_are_two_suggestions_since_one_is_taken_whole(door: FrontDoor) -> None:
    (card,) = answers.ordering(door, answers.DRAFT, answers.SECOND_DRAFT)["cards"]

    removed = [[one["resourceId"] for one in each["actions"]] for each in card["suggestions"]]
    assert removed == [["ServiceRequest/d-1"], ["ServiceRequest/d-2"]]


@pytest.mark.requirement("ch2:127", "ch2:128", "ch2:129")
def test_every_action_says_what_it_does(cards: list[Json]) -> None:
    actions = of_each(of_each(cards, "suggestions"), "actions")

    assert {action["type"] for action in actions} == {"create", "delete"}
    assert all(is_text(action["description"]) for action in actions)


@pytest.mark.requirement("ch2:130", "ch2:131")
def test_a_create_carries_a_whole_new_resource(cards: list[Json]) -> None:
    actions = of_each(of_each(cards, "suggestions"), "actions")
    created = [one["resource"] for one in actions if one["type"] == "create"]

    assert {one["resourceType"] for one in created} == {"ServiceRequest", "Task"}
    assert all("id" not in one and one["status"] and one["intent"] for one in created)


@pytest.mark.requirement("ch2:133", "ch2:134", "ch2:135")
def test_a_delete_names_its_target_in_resource_id_and_nowhere_else(cards: list[Json]) -> None:
    actions = of_each(of_each(cards, "suggestions"), "actions")
    deleted = [one for one in actions if one["type"] == "delete"]

    assert deleted and all("resource" not in one for one in deleted)
    assert {one["resourceId"] for one in deleted} == {"ServiceRequest/d-1", "ServiceRequest/d-2"}


# --- links -----------------------------------------------------------------------------------


@pytest.mark.requirement("ch2:103", "ch2:138", "ch2:139", "ch2:141", "ch2:142")
def test_every_link_has_a_label_an_address_and_a_type(cards: list[Json]) -> None:
    for link in of_each(cards, "links"):
        assert is_text(link["label"])
        assert link["type"] == "smart" and link["url"] == f"{PUBLIC_URL}/app/launch"


@pytest.mark.requirement("ch2:144", "ch2:146", "ch2:147")
def test_an_app_context_is_a_text_and_goes_with_smart_links_only(cards: list[Json]) -> None:
    for link in of_each(cards, "links"):
        assert link["type"] == "smart" and is_text(link["appContext"])


@pytest.mark.requirement("ch2:140", "ch2:145")
def test_where_no_app_context_is_understood_the_address_carries_it_sealed(door: FrontDoor) -> None:
    answers.speaks(door, DialectName.ORACLE)

    (card,) = answers.found(door)["cards"]

    (link,) = card["links"]
    address, _, sealed = link["url"].partition("?ctx=")
    assert "appContext" not in link and address == f"{PUBLIC_URL}/app/launch"
    assert "1.2.840.99999.1" in (open_context("t-1", sealed, vault=VAULT) or "")


# --- what may be left out --------------------------------------------------------------------


@pytest.mark.requirement("ch2:94", "ch2:104")
def test_a_card_about_nothing_has_neither_suggestion_nor_link(door: FrontDoor) -> None:
    (card,) = answers.silent(door)["cards"]

    assert "suggestions" not in card and "links" not in card


@pytest.mark.requirement("ch2:81", "ch2:116", "ch2:118")
def test_a_client_of_1_0_gets_no_uuid_and_no_topic(door: FrontDoor) -> None:
    answers.speaks(door, DialectName.V1_0)

    for card in every_card(door):
        assert "uuid" not in card and "topic" not in card["source"]
        assert all("uuid" not in one for one in card.get("suggestions", []))
