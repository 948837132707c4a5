"""Addressed random numbers: literal values, and laws of the `random.Random` that draws them."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref import rng

MASK = 2**64 - 1


def philox_block(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 in Python integers, from the tables of Salmon et al. 2011 (figure 4 and its constants)."""
    k0, k1 = key
    a, b, c, d = counter
    for _ in range(10):
        high0, low0 = divmod(a * 0xD2E7470EE14C6C93, 2**64)
        high1, low1 = divmod(c * 0xCA5A826395121157, 2**64)
        a, b, c, d = high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return [a, b, c, d]


def words(seed: int, stream: int, step: int, example: int, count: int) -> list[int]:
    """The definition: block i of an address has the counter (i + 1, step, example, 0)."""
    blocks = [philox_block([i + 1, step, example, 0], [seed, stream]) for i in range(-(-count // 4))]
    return [word for block in blocks for word in block][:count]


def test_philox_by_hand_gives_the_published_vector() -> None:
    # known-answer test of the Random123 distribution: counter and key of zeros
    want = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox_block([0] * 4, [0] * 2) == want


def test_the_table_of_streams_is_literal() -> None:
    assert rng.STREAMS == {
        "initial_weights": 1,
        "data_order": 2,
        "sentence_pairing": 3,
        "masking": 4,
        "held_out": 5,
        "case": 6,
        "dropout": 1_000_000,
    }
    assert rng.stream("masking") == 4
    assert rng.stream("dropout", 7) == 1_000_007


LITERAL = {
    (0, "masking", 0, 0): [
        0x6ddd30b2e7a29a82, 0xa4f65ab2ddb46c74, 0x7be2e1c74434c648, 0x6f41de311fba317d,
        0x5ad1829ea1dc5d1c,
    ],
    (1, "data_order", 2, 3): [
        0xfbded958790038a6, 0x6e66fc083f7898ef, 0xd6349e4e8ebc6fbb, 0xea3baae687ad2e31,
        0x6b5c03d204ca773e,
    ],
    (12345, "held_out", 2**40, 2**63): [
        0x806f10c860a4e798, 0x1b04359d90bd1859, 0x7f29196bc88c4ba4, 0x93c65ff8887332fe,
        0x87fa8caf14613635,
    ],
}


@pytest.mark.parametrize("address", LITERAL, ids=str)
def test_literal_words(address: tuple[int, str, int, int]) -> None:
    seed, name, step, example = address
    drawn = rng.philox(seed, rng.stream(name), step, example).random_raw(5).tolist()
    assert drawn == LITERAL[address]


numbers = st.integers(0, 2**64 - 1)


@given(numbers, numbers, numbers, numbers, st.integers(1, 9))
def test_every_address_follows_the_definition(
    seed: int, stream: int, step: int, example: int, count: int
) -> None:
    drawn = rng.philox(seed, stream, step, example).random_raw(count)
    assert np.atleast_1d(drawn).tolist() == words(seed, stream, step, example, count)


def test_negative_and_large_seeds_wrap() -> None:
    first = rng.philox(-1, 4).random_raw(3).tolist()
    assert first == rng.philox(2**64 - 1, 4).random_raw(3).tolist() == words(MASK, 4, 0, 0, 3)


def test_generator_draws_from_its_address() -> None:
    drawn = rng.generator(3, "case", 5, 7).random(4)
    want = [(word >> 11) * 2.0**-53 for word in words(3, 6, 5, 7, 4)]
    assert drawn.tolist() == want


def test_stream_random_draws_the_same_words() -> None:
    source = rng.StreamRandom(3, "masking", 5, 7)
    assert [source.random() for _ in range(130)] == [(w >> 11) * 2.0**-53 for w in words(3, 4, 5, 7, 130)]


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12))
def test_getrandbits_takes_the_top_bits_of_joined_words(sizes: list[int]) -> None:
    source = rng.StreamRandom(11, "case", 1, 2)
    stream = iter(words(11, 6, 1, 2, sum(-(-k // 64) for k in sizes) or 1))
    for k in sizes:
        count = -(-k // 64)
        joined = 0
        for _ in range(count):
            joined = joined * 2**64 + next(stream)
        assert source.getrandbits(k) == joined >> (64 * count - k)


def test_pythons_methods_work_and_repeat() -> None:
    def draw(example: int) -> list[object]:
        source = rng.StreamRandom(5, "sentence_pairing", 1, example)
        cards = list(range(20))
        source.shuffle(cards)
        return [
            cards,
            source.randint(2, 9),
            source.choice("abcdef"),
            source.sample(range(50), 5),
            source.gauss(0, 1),
        ]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    cards, number, letter, sample, _ = draw(3)
    assert sorted(cards) == list(range(20))  # type: ignore[call-overload]
    assert 2 <= number <= 9  # type: ignore[operator]
    assert letter in "abcdef"  # type: ignore[operator]
    assert len(set(sample)) == 5  # type: ignore[call-overload]


def test_seed_does_not_reset_and_the_global_generator_is_untouched() -> None:
    random.seed(1)
    state = random.getstate()
    source = rng.StreamRandom(5, "masking")
    first = source.random()
    source.seed(5)
    assert source.random() != first
    assert random.getstate() == state


def test_uniform_and_unbiased() -> None:
    source = rng.StreamRandom(0, "case")
    counts = np.bincount([source.randrange(7) for _ in range(14_000)], minlength=7)
    # chi-squared with 6 degrees of freedom: above 22.5 once in a thousand, and this draw is fixed
    assert ((counts - 2000) ** 2 / 2000).sum() < 22.5


def test_purposes_steps_and_examples_do_not_share_numbers() -> None:
    addresses = [(0, name, step, example) for name in rng.STREAMS for step in range(3) for example in range(3)]
    drawn = np.concatenate(
        [rng.philox(seed, rng.stream(name), *rest).random_raw(50) for seed, name, *rest in addresses]
    )
    assert len(np.unique(drawn)) == drawn.size
