"""The training state's file: both versions of its format, and what is no such file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.checkpoint import save_weights
from bertref.checkpoint.training import load, save_state
from bertref.errors import CheckpointError

PARAMS = {"bert.pooler.dense.bias": np.ones(3, np.float32)}
MOMENTS = {f"bert.pooler.dense.bias/{kind}": np.zeros(3, np.float32) for kind in "mv"}


def checkpoint(folder: Path, **changes: Any) -> Path:
    """A checkpoint's weights and state, with `changes` in its JSON; a value of ... removes a key."""
    save_weights(folder, PARAMS)
    save_state(folder, MOMENTS, 7, None, [30, 29])
    file = folder / "training_state.json"
    values = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}), encoding="utf-8")
    return folder


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    state = load(checkpoint(tmp_path))
    assert (state.step, state.loss_scale, state.pass_counts) == (7, None, (30, 29))
    assert state.moments.keys() == MOMENTS.keys()


def test_the_first_version_opens(tmp_path: Path) -> None:
    """It has no counts of the passes, which are then counted anew."""
    assert load(checkpoint(tmp_path, version=1, pass_counts=...)).pass_counts == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "format version 3; this bertref reads versions 1, 2"),
        ({"pass_counts": ...}, "is missing or damaged"),
        ({"pass_counts": None}, "is missing or damaged"),
        ({"pass_counts": [30, 0]}, "pass_counts must be a list of whole numbers"),
        ({"pass_counts": ["30"]}, "pass_counts must be a list of whole numbers"),
        ({"pass_counts": "30"}, "pass_counts must be a list of whole numbers"),
    ],
)
def test_another_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(checkpoint(tmp_path, **changes))
