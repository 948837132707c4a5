"""A run that can't start says so first, and leaves nothing behind that stands in the way of the next one."""

from pathlib import Path
from typing import Any

import pytest

from .asking import bertref, bertref_process

HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}
"""No GPU, on a machine that has some as well."""
IMPOSSIBLE = [
    (("--backend", "cupy"), "backend 'cupy'"),
    (("--backend", "torch:cuda"), "torch:cuda"),
    (("--precision", "bfloat16"), "bfloat16"),
    (("--config", "nothing"), "--config nothing"),
    (("--seq-len", "513"), "--seq-len 513"),
]


def pretrain(*options: str | Path, cwd: Path | None = None) -> Any:
    """In a process of its own where a library looks for devices once."""
    run = bertref_process if "--backend" in options else bertref
    return run("pretrain", *options, cwd=cwd, **HIDDEN)


@pytest.mark.parametrize(("options", "named"), IMPOSSIBLE)
def test_what_is_impossible_is_named_before_the_output_folder(
    tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    (tmp_path / "letter.txt").write_text("of somebody")
    done = pretrain(*options, "--out", tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert "is not empty" not in done.stderr


REFUSED = [*(options for options, _ in IMPOSSIBLE), ("nowhere.txt",), ("--vocab", "nothing")]


@pytest.mark.parametrize(
    "options", [pytest.param(one, marks=pytest.mark.slow if "torch:cuda" in one else ()) for one in REFUSED]
)
def test_a_run_that_could_not_start_leaves_no_folder(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = pretrain(*options, "--out", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "run").exists()
