"""Samplers against laws: permutations, even spread, disjoint shares; and pinned, so that no version changes them."""

from collections import Counter
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.loading.samplers import (
    Draw,
    Purpose,
    Share,
    _mix,
    below,
    hash64,
    is_on_foreground,
    permuted,
    start_around,
    uniform_start,
    volume_of,
)

seeds = st.integers(0, 2**64 - 1)
lengths = st.integers(1, 200)
triples = st.tuples(*[st.integers(1, 40)] * 3)


def test_the_hash_is_splitmix64():
    """The first outputs for seed 1234567, as https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64 has them."""
    increments = [1234567 + k * 0x9E3779B97F4A7C15 for k in (1, 2, 3, 4, 5)]
    assert [_mix(state) for state in increments] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_pinned():
    """These numbers are part of what a seed means: a change here changes every user's training."""
    assert hash64(1, 2, 3) == 5246500226706903259
    assert [permuted(k, 10, 5) for k in range(10)] == [9, 1, 7, 0, 8, 3, 5, 4, 6, 2]
    assert [volume_of(7, Draw(2, k), 5) for k in range(10)] == [4, 1, 2, 3, 0, 0, 2, 4, 3, 1]
    assert [uniform_start(7, Draw(2, k), (100, 50, 20), (10, 10, 10)) for k in range(3)] == [
        (50, 27, 6),
        (62, 32, 1),
        (81, 27, 9),
    ]
    assert [k for k in range(10) if is_on_foreground(7, Draw(2, k), 0.33)] == [2, 5, 8]


def test_hashes_depend_on_order_and_on_every_value():
    hashes = {hash64(*values) for values in [(0,), (0, 0), (1, 0), (0, 1), (1, 1), (2**40, 1), (1, 2**40)]}
    assert len(hashes) == 7


def test_below_is_even():
    counts = Counter(below(6, 99, k) for k in range(60_000))
    assert sorted(counts) == list(range(6))
    assert all(abs(n - 10_000) < 5 * 91 for n in counts.values())  # five standard deviations of the binomial


@given(lengths, seeds)
def test_permuted_is_a_permutation(length, seed):
    assert sorted(permuted(k, length, seed) for k in range(length)) == list(range(length))


def test_permutations_of_four_all_come_about_equally_often():
    counts = Counter(tuple(permuted(k, 4, seed) for k in range(4)) for seed in range(12_000))
    assert len(counts) == 24
    assert all(400 < n < 600 for n in counts.values())  # 500 expected


def test_permuted_refuses_what_is_outside():
    with pytest.raises(ValueError, match="0 to 4, got 5"):
        permuted(5, 5, 0)


@given(seeds, st.integers(0, 50), lengths)
def test_each_pass_visits_every_volume_once(seed, epoch, volumes):
    visits = [volume_of(seed, Draw(epoch, k), volumes) for k in range(3 * volumes)]
    for k in range(3):
        assert sorted(visits[k * volumes : (k + 1) * volumes]) == list(range(volumes))


@given(seeds, st.integers(0, 50), st.floats(0, 1), st.integers(1, 50), st.integers(0, 1000))
def test_any_run_of_patches_has_its_share_on_foreground(seed, epoch, fraction, count, first):
    hits = sum(is_on_foreground(seed, Draw(epoch, k), fraction) for k in range(first, first + count))
    assert floor(count * fraction - 1e-9) <= hits <= ceil(count * fraction + 1e-9)


def test_foreground_none_or_all():
    assert not any(is_on_foreground(0, Draw(0, k), 0.0) for k in range(100))
    assert all(is_on_foreground(0, Draw(0, k), 1.0) for k in range(100))


@given(seeds, st.integers(0, 1000), triples, triples)
def test_a_uniform_patch_is_inside_or_contains_the_volume(seed, number, size, patch):
    for start, n, p in zip(uniform_start(seed, Draw(0, number), size, patch), size, patch, strict=True):
        assert (0 <= start <= n - p) if p <= n else (start <= 0 and start + p >= n)


def test_uniform_starts_reach_every_place_equally_often():
    counts = Counter(uniform_start(3, Draw(0, k), (6, 5, 4), (4, 4, 4)) for k in range(12_000))
    assert len(counts) == 3 * 2
    assert all(1800 < n < 2200 for n in counts.values())  # 2000 expected


@given(triples, triples, st.data())
def test_a_patch_around_a_voxel_contains_it_and_stays_inside(size, patch, data):
    voxel = [data.draw(st.integers(0, n - 1)) for n in size]
    for start, v, n, p in zip(start_around(voxel, size, patch), voxel, size, patch, strict=True):
        assert start <= v < start + p
        assert (0 <= start <= n - p) if p <= n else (start <= 0 and start + p >= n)


def test_a_patch_around_a_voxel_far_from_the_border_is_centred():
    assert start_around((50, 51, 52), (100, 100, 100), (10, 11, 12)) == (45, 46, 46)


def draws_of(share):
    return [share.indices(k) for k in range(share.batches)]


@given(st.integers(1, 100), st.integers(1, 8), st.integers(1, 5))
def test_ranks_deal_the_batches_of_one_process(length, batch, ranks):
    alone = draws_of(Share(length=length, batch=batch, ranks=1))
    shares = [draws_of(Share(length=length, batch=batch, rank=r, ranks=ranks)) for r in range(ranks)]
    assert len({len(share) for share in shares}) == 1  # as many steps on each rank
    assert all(len(indices) == batch for share in shares for indices in share)
    dealt = [indices for step in zip(*shares, strict=True) for indices in step]
    assert dealt[: len(alone)] == alone
    flat = [k for indices in dealt for k in indices]
    assert flat == [k % length for k in range(len(flat))]  # the remainder wraps around
    assert len(flat) - length < batch * ranks


@given(st.integers(1, 100), st.integers(1, 8), st.integers(1, 5))
def test_validation_draws_each_once(length, batch, ranks):
    shares = [Share(length=length, batch=batch, rank=r, ranks=ranks, wrap=False) for r in range(ranks)]
    flat = [k for share in shares for indices in draws_of(share) for k in indices]
    assert sorted(flat) == list(range(length))
    assert [share.patches for share in shares] == [sum(map(len, draws_of(share))) for share in shares]
    assert max(share.batches for share in shares) - min(share.batches for share in shares) <= 1


@pytest.mark.parametrize("wrong", [{"length": 0}, {"batch": 0}, {"rank": 2, "ranks": 2}, {"rank": -1}])
def test_a_wrong_share_is_refused(wrong):
    with pytest.raises(ValueError, match=r"at least 1, got|must be in 0 to"):
        Share(**{"length": 4, **wrong})


def test_purposes_are_pinned():
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "ORDER": 1,
        "FOREGROUND": 2,
        "CLASS": 3,
        "VOXEL": 4,
        "START": 5,
        "TRANSFORM": 6,
        "WEIGHT": 7,
        "CLASS_TURN": 8,
        "CLASS_VOLUME": 9,
    }
