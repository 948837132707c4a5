"""The type checker knows every op, its arguments and its gradients."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAD = "from bertref.opset import OpSet\n\ndef f(ops: OpSet, x: object, w: object, b: object) -> None:\n"

WRONG = {
    "ops.densse.forward(x, w, b)": '"OpSet" has no attribute "densse"',
    "ops.dense.forward(x)": 'Missing positional argument "weight"',
    "ops.dense.forward(x, w, b, w)": "Too many arguments",
    "ops.layer_norm.forward(x, w, b)": 'Missing named argument "eps"',
    "ops.layer_norm.forward(x, w, b, epsilon=1.0)": 'Unexpected keyword argument "epsilon"',
    "ops.dense.backward(x, ops.dense.forward(x, w, b)[1]).wieght": '"DenseGrads" has no attribute "wieght"',
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of one file with a right line first and every wrong one after it."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    file = tmp_path_factory.mktemp("typed") / "calls.py"
    right = "    ops.dense.forward(x, w, b)\n    ops.dense.backward(x, ops.dense.forward(x, w, b)[1]).weight\n"
    file.write_text(HEAD + right + "".join(f"    {line}\n" for line in WRONG), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(file)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )  # the cache is the checkout's, in which `mypy -p bertref` leaves what it knows of the package
    return [line for line in done.stdout.splitlines() if "calls.py" in line and "error:" in line]


def test_right_calls_are_accepted_and_wrong_ones_refused(said: list[str]) -> None:
    first = HEAD.count("\n") + 3
    for number, (line, message) in enumerate(WRONG.items()):
        assert any(f":{first + number}: " in error and message in error for error in said), (line, said)
    assert {int(error.split(":")[1]) for error in said} == set(range(first, first + len(WRONG)))
