"""bfloat16 comes from a package that need not be there; everything else works without it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["numpy", "strict", "torch"])
def test_without_ml_dtypes_the_other_dtypes_work(name: str) -> None:
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "from bertref import backends\n"
        f"xp = backends.get('{name}').xp\n"
        "print(*(float(xp.finfo(kind).eps) for kind in (xp.float32, xp.float64)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(2.0**-23), str(2.0**-52)]
