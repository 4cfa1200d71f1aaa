"""Options of searches: each filter of the library has one, and they open what the user names."""

import inspect

from medimagenet.cli import filters, search
from medimagenet.index.query import Filters


def test_every_filter_is_an_option():
    assert set(Filters.__annotations__) <= set(inspect.signature(search.command).parameters)


def test_what_is_opened(chain):
    own = filters.open_indexes([chain.index], public=False)
    public = filters.open_indexes(None, public=False)
    assert len(filters.open_indexes([chain.index], public=True)) == len(own) + len(public)
