"""A house per test, with a small pool of threads."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.unit.cards.builders import House, MakeHouse


@pytest.fixture
def a_house() -> Iterator[MakeHouse]:
    with ThreadPoolExecutor(2) as pool:
        yield partial(House, pool)
