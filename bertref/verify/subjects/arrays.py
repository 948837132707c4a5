"""Arrays of any library -> NumPy, and answers -> their canonical shapes.

NumPy has no bfloat16; such values come as float32, in which they are exact.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...data.pretraining.batch import PretrainingBatch
from ...errors import InputError
from ...heads.classifier import LOGITS as CLASSES
from ..records import Case


def to_numpy(value: Any, name: str = "a value") -> npt.NDArray[Any]:
    """A fresh array of numbers: from NumPy, torch, JAX, CuPy, ndonnx, nested lists, or a number.

    Raises `InputError` for anything that holds no numbers, naming it.
    """
    try:
        if hasattr(value, "detach"):  # torch, whose __array__ refuses gradients, devices and bfloat16
            value = value.detach().cpu()
            if str(value.dtype) == "torch.bfloat16":
                value = value.float()
            value = value.numpy()
        elif hasattr(value, "get") and type(value).__module__.startswith("cupy"):
            value = value.get()
        array = np.asarray(value)
        if array.dtype.name == "bfloat16":  # ml_dtypes, which JAX uses
            array = array.astype(np.float32)
        elif array.dtype.kind not in "fiub" and hasattr(value, "__dlpack__"):
            array = np.from_dlpack(value)
    except Exception as error:
        raise InputError(
            f"{name}: {type(value).__name__} can't be made a NumPy array ({type(error).__name__}: "
            f"{_first_line(error)}); give arrays or numbers"
        ) from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: an array of {array.dtype} is not one of numbers; give floating-point arrays")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    return np.array(array)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def gather_predictions(values: npt.NDArray[Any], batch: PretrainingBatch) -> npt.NDArray[Any]:
    """Values of all positions (B, S, ...) -> those at the predictions (B, P, ...)."""
    rows = np.arange(len(batch))[:, None]
    return values[rows, batch.masked_lm_positions]


def gather_prediction_gradients(values: npt.NDArray[Any], batch: PretrainingBatch) -> npt.NDArray[Any]:
    """The same for gradients: an unused slot receives none, whatever stands at the position that it names."""
    gathered = gather_predictions(values, batch)
    used = (batch.masked_lm_weights != 0).reshape(*batch.masked_lm_weights.shape, *[1] * (gathered.ndim - 2))
    return np.where(used, gathered, np.zeros((), gathered.dtype))


def canonical(name: str, value: npt.NDArray[Any], case: Case) -> npt.NDArray[Any]:
    """An answer in the shape that its name has: predictions gathered, choices side by side, losses without axes.

    A shape that can't be understood is passed on as it is: to judge it is not a subject's business.
    """
    probe = name.removeprefix("grad:")
    if probe.startswith("loss.") and value.size == 1:
        return value.reshape(())
    if probe == CLASSES and case.objective == "multiple_choice" and value.size == len(case.batch):
        return value.reshape(-1, case.choices)
    B, S = case.batch.input_ids.shape
    P = case.batch.masked_lm_positions.shape[1]
    if probe.startswith("mlm.") and value.ndim == 3 and value.shape[:2] == (B, S) and P != S:
        gather = gather_prediction_gradients if name.startswith("grad:") else gather_predictions
        return gather(value, case.batch)
    return value
