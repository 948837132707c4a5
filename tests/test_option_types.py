"""Options from Python: a value of another type is refused by name, before anything is made; paths are taken."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bertref
from bertref.errors import InputError

MADE: dict[type, dict[str, Any]] = {
    bertref.FinetuneOptions: {"data": "d", "model": "m"},
    bertref.PretrainOptions: {},
    bertref.EvaluateOptions: {"task": "sst-2", "data": "d", "model": "m"},
}
"""Options -> what they can't be made without."""
TRAINING: list[Callable[..., Any]] = [
    bertref.PretrainOptions, lambda **given: bertref.FinetuneOptions(data="d", model="m", **given)
]  # fmt: skip
STRANGE: dict[Any, tuple[Any, ...]] = {
    bool: ("yes", 1, 0.0), int: ("1", 2.0, True, float("nan")), float: ("1e-3", True, 1j), str: (b"a", 3, ("a",)),
    tuple[str, ...]: ("a", 3, (1,), {"a": 1}, [None]),
}  # fmt: skip
"""A field's type -> values that it can't hold."""


def typed(options: type) -> list[tuple[str, Any, bool]]:
    """Name, type and whether it may be None, of every field."""
    hints = get_type_hints(options)
    return [
        (f.name, next(t for t in STRANGE if hints[f.name] in (t, t | None)), hints[f.name] not in STRANGE)
        for f in fields(options)
    ]


@pytest.mark.parametrize("options", MADE, ids=lambda options: options.__name__)
def test_a_value_of_another_type_is_refused_by_name(options: type) -> None:
    for name, kind, may_be_none in typed(options):
        for value in (*STRANGE[kind], *(() if may_be_none else (None,))):
            if (name, value) == ("parts", "a"):
                continue  # the name of one part is taken
            with pytest.raises(InputError, match=rf"^{name} is "):
                options(**{**MADE[options], name: value})


def test_numbers_of_numpy_and_paths_are_plain_afterwards() -> None:
    made = bertref.FinetuneOptions(
        data=Path("d"), model=Path("m"), steps=np.int64(3), learning_rate=np.float32(0.5), labels=["a", "b"],  # type: ignore[arg-type]
    )  # fmt: skip
    assert [type(v) for v in (made.data, made.model, made.steps, made.learning_rate)] == [str, str, int, float]
    assert (made.data, made.steps, made.learning_rate, made.labels) == ("d", 3, 0.5, ("a", "b"))


@given(rate=st.floats(allow_infinity=True, allow_nan=True))
def test_rates_are_finite_numbers_from_0(rate: float) -> None:
    for make in TRAINING:
        if 0 <= rate < float("inf"):
            assert make(learning_rate=rate).learning_rate == rate
        else:
            with pytest.raises(InputError, match=r"--learning-rate is .*; it must be 0 or more, and finite"):
                make(learning_rate=rate)


@pytest.mark.parametrize("make", TRAINING)
def test_a_batch_has_one_example_at_least(make: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="--batch-size is 0; it must be at least 1"):
        make(batch_size=0)


@pytest.mark.parametrize("run", [bertref.finetune, bertref.pretrain, bertref.evaluate], ids=lambda run: run.__name__)
def test_options_are_no_dictionary(run: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=rf"the options are a dict; give a bertref\.{run.__name__.title()}Options"):
        run({"data": "d"})
