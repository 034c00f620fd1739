"""What is made within is left out of all later searches for garbage, and these go on as before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from utils.lasting_objects import lasting_objects


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def is_searched(one: object) -> bool:
    return any(each is one for each in gc.get_objects())


def test_what_is_made_within_is_not_searched() -> None:
    with lasting_objects():
        assert not gc.isenabled()
        made: list[object] = [[]]
        assert is_searched(made)
    assert not is_searched(made)
    later: list[object] = [[]]
    assert is_searched(later)


@pytest.mark.parametrize("was_on", [True, False])
def test_the_search_is_as_it_was_even_after_an_error(was_on: bool) -> None:
    if not was_on:
        gc.disable()
    with pytest.raises(ZeroDivisionError), lasting_objects():
        raise ZeroDivisionError
    assert gc.isenabled() is was_on
