"""Listing folders; long lists of paths against a plain list."""

import os

from hypothesis import given
from hypothesis import strategies as st

from medimagenet.sources.walk import UNKNOWN, Paths, Stamp, walk

folders = st.lists(st.lists(st.text("abc", min_size=1, max_size=3), min_size=0, max_size=4, unique=True), max_size=6)


@given(folders, st.integers(0, 20), st.integers(0, 20))
def test_paths_are_those_that_were_added(names, start, stop):
    paths, plain = Paths(), []
    for number, members in enumerate(names):
        paths.add(f"/data/{number}", {name: Stamp(number, place) for place, name in enumerate(members)})
        plain += [(f"/data/{number}/{name}", Stamp(number, place)) for place, name in enumerate(members)]
    assert len(paths) == len(plain)
    assert list(paths) == [path for path, _ in plain]
    assert paths[start:stop] == [path for path, _ in plain[start:stop]]
    assert [paths.stamp(k) for k in range(len(plain))] == [stamp for _, stamp in plain]


def test_stamps_are_those_of_the_system(tmp_path):
    (tmp_path / "b").write_bytes(b"123")
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    os.utime(tmp_path / "b", ns=(0, 1_234_567_891))
    (listing,) = walk(tmp_path)
    assert list(listing.stamps.items()) == [("a", Stamp(UNKNOWN, UNKNOWN)), ("b", Stamp(3, 1_234_567_891))]
