"""A house per test, as the hooks' tests have it."""

from tests.unit.cards.conftest import a_house as a_house
