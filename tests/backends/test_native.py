"""What dropout keeps by torch's own generator: as often as it should, the same when asked again, elsewhere other
things."""

from typing import Any

import numpy as np
import pytest
import torch

from bertref import backends
from bertref.backends.torch.native import NativeDropout

MASK = np.ones((5, 40), bool)
MASK[3, 7:] = False
EXAMPLES = np.array([4, 2**50, 17, 0, 2**63 - 1])
STREAM = 1_000_002


def drawn(seed: int = 7, step: int = 3, examples: Any = EXAMPLES, mask: Any = MASK, packed: bool = True) -> Any:
    backend = backends.get("torch")
    assert backend.native is not None
    return backend.native(seed, step, examples, mask, packed)


def test_shapes() -> None:
    for packed, rows in ((True, int(MASK.sum())), (False, MASK.size)):
        made = drawn(packed=packed)
        found = made.hidden(STREAM, 6554, 6), made.first(STREAM, 6554, 6), made.probs(STREAM, 6554, 3)
        assert [tuple(keep.shape) for keep in found] == [(rows, 6), (5, 6), (5, 3, 40, 40)]
        assert {keep.dtype for keep in found} == {torch.bool}


@pytest.mark.parametrize("threshold", [1, 6554, 32768, 65535])
def test_the_share_that_is_kept(threshold: int) -> None:
    """Within five deviations; of rows and of columns as well, so that none is favoured."""
    keep = drawn().probs(STREAM, threshold, 50).numpy()
    share = 1 - threshold / 65536
    for part in (keep, keep.mean(axis=(0, 1, 2)), keep.mean(axis=(0, 1, 3))):
        weight = keep.size / part.size
        deviation = np.sqrt(share * (1 - share) / weight)
        assert np.abs(part.mean() - share) < 5 * np.sqrt(share * (1 - share) / keep.size)
        if part is not keep:
            assert np.abs(part - share).max() < 5 * deviation


def bits(made: NativeDropout, stream: int = STREAM) -> bytes:
    return made.hidden(stream, 32768, 8).numpy().tobytes()


def test_asked_again_it_answers_the_same() -> None:
    """Whatever was drawn in between, by however many threads."""
    one = drawn()
    first = bits(one)
    torch.rand(3)
    one.probs(STREAM + 1, 6554, 3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert bits(one) == bits(drawn()) == first
    finally:
        torch.set_num_threads(threads)


def test_every_part_of_the_address_counts() -> None:
    swapped = EXAMPLES[[1, 0, 2, 3, 4]]
    found = [bits(drawn()), bits(drawn(), STREAM + 1)]
    for changes in ({"seed": 8}, {"step": 4}, {"examples": EXAMPLES + 1}, {"examples": swapped}, {"seed": 2**64 + 6}):
        found.append(bits(drawn(**changes)))
    assert len(set(found)) == len(found)
    assert bits(drawn(seed=2**64 + 7)) == found[0]
    bools = np.array([np.frombuffer(b, bool) for b in found])
    agreement = (bools[:, None] == bools).mean(axis=2)[~np.eye(len(found), dtype=bool)]
    assert np.abs(agreement - 0.5).max() < 5 * 0.5 / np.sqrt(bools.shape[1])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    alone = torch.rand(4)
    torch.manual_seed(1)
    bits(drawn())
    assert torch.equal(torch.rand(4), alone)
