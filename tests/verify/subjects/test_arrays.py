"""Arrays of other libraries, and answers in other shapes."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from bertref.errors import InputError
from bertref.verify.cases.case import generate
from bertref.verify.subjects.arrays import canonical, gather_prediction_gradients, gather_predictions, to_numpy

CASE = generate(51)
NUMBERS = [[0.5, -1.25], [3.0, 0.0]]


class ByProtocol:
    """An array of some library that says what it is by `__dlpack__` alone."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


@pytest.mark.parametrize(
    "value",
    [
        np.array(NUMBERS),
        np.array(NUMBERS, np.float16),
        np.array(NUMBERS, ml_dtypes.bfloat16),
        np.asfortranarray(NUMBERS),
        torch.tensor(NUMBERS, requires_grad=True),
        torch.tensor(NUMBERS, dtype=torch.bfloat16),
        torch.tensor(NUMBERS).T.contiguous().T,
        ByProtocol(np.array(NUMBERS, np.float32)),
        NUMBERS,
    ],
    ids=["numpy", "float16", "ml_dtypes", "fortran", "torch", "torch-bfloat16", "strided", "dlpack", "lists"],
)
def test_any_library(value: Any) -> None:
    array = to_numpy(value)
    assert array.dtype.kind == "f"
    assert array.tolist() == NUMBERS


def test_it_is_a_copy() -> None:
    for value in (np.zeros(3), torch.zeros(3)):
        array = to_numpy(value)
        array += 1
        assert not value.any()


def test_whole_numbers_and_scalars() -> None:
    assert to_numpy(2).dtype == np.float64
    assert to_numpy(torch.tensor(2.5)).shape == ()
    assert to_numpy(np.array([1, 2])).dtype == np.float64


@pytest.mark.parametrize("value", ["text", None, np.array(["a"]), [[1], [1, 2]], np.array([1j]), object()])
def test_what_is_no_array(value: Any) -> None:
    with pytest.raises(InputError, match=r"^layer\.0\.output: .*give") as caught:
        to_numpy(value, "layer.0.output")
    assert len(str(caught.value).splitlines()) == 1


def test_predictions_are_gathered() -> None:
    B, S = CASE.batch.input_ids.shape
    P = CASE.batch.masked_lm_positions.shape[1]
    everywhere = np.arange(B * S * 2, dtype=float).reshape(B, S, 2)
    picked = canonical("mlm.transform", everywhere, CASE)
    assert picked.shape == (B, P, 2)
    for b, p in np.argwhere(CASE.batch.masked_lm_weights > 0):
        assert picked[b, p].tolist() == everywhere[b, CASE.batch.masked_lm_positions[b, p]].tolist()
    assert np.array_equal(picked, gather_predictions(everywhere, CASE.batch))
    assert np.array_equal(canonical("layer.0.output", everywhere, CASE), everywhere)
    assert canonical("mlm.logits", picked, CASE) is picked


def test_an_unused_slot_has_no_gradient() -> None:
    B, S = CASE.batch.input_ids.shape
    ones = np.ones((B, S, 2))
    gathered = gather_prediction_gradients(ones, CASE.batch)
    assert np.array_equal(gathered[..., 0], CASE.batch.masked_lm_weights)
    assert np.array_equal(canonical("grad:mlm.logits", ones, CASE), gathered)


def test_a_loss_has_no_axes() -> None:
    assert canonical("loss.total", np.ones((1,)), CASE).shape == ()
    assert canonical("loss.total", np.ones((2,)), CASE).shape == (2,), "to be judged, not hidden"
