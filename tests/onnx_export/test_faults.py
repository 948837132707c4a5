"""Every fault of a file shows in its answers: the noise floor of the other tests is not blind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertref.config import Numerics
from bertref.onnx_export import export

from ..model_cases import small_config
from .exported import batch, units, weights

RIGHT, WRONG = 40, 1000
"""Units of float32 rounding."""


def test_every_wrong_weight_is_seen(tmp_path: Path) -> None:
    """Each parameter by itself, off by a thousandth; but for the key bias, which can't change anything."""
    config, heads, numerics = small_config(1), ("pretraining",), Numerics()
    params, arrays = weights(config, heads), batch(config, (16, 9, 1))
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads)
    assert units(path, params, config, numerics, arrays, heads) < RIGHT
    for name, array in params.items():
        wrong = {**params, name: (array * 1.001).astype(np.float32)}
        found = units(path, wrong, config, numerics, arrays, heads)
        assert found < RIGHT if name.endswith("key.bias") else found > 3 * RIGHT, name


@pytest.mark.parametrize("changes", [{"gelu": "tanh"}, {"layer_norm_eps": 1e-3}, {"mask_value": -1.0}], ids=str)
def test_another_dialect_is_seen(changes: dict[str, float], tmp_path: Path) -> None:
    config, heads, numerics = small_config(2), ("pooler",), Numerics()
    params, arrays = weights(config, heads), batch(config, (16, 9, 1))
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads)
    assert units(path, params, config, numerics, arrays, heads) < RIGHT
    assert units(path, params, config, replace(numerics, **changes), arrays, heads) > WRONG
