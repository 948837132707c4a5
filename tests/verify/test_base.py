"""BERT-Base as a whole: forward, backward and an optimiser step of 110 million parameters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SUBJECTS = ["numpy", "torch", "transformers:attention=sdpa,dtype=float32"]

MOST = 12.0
"""GB"""

# in a process of its own: the peak is the process's, and other tests' memory is no part of it
PROGRAM = """
import json, resource, sys, time
start = time.perf_counter()
from bertref.verify import check
from bertref.verify.cases.case import generate
from bertref.verify.subjects import parse
case = generate(int(sys.argv[2]), size="base")
report = check(parse(sys.argv[1]), case, repeat=False)
own = max((finding.own, finding.name) for finding in report.findings if finding.own is not None)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
print(json.dumps({
    "verdict": report.verdict, "first": report.first, "largest ratio": own, "judged": len(report.findings),
    "seconds": round(time.perf_counter() - start, 1), "peak GB": round(peak, 2),
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_bert_base_is_right_in_less_than_12_gb(subject: str, tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows doesn't say how much memory a process had at most")
    if subject != "numpy":
        pytest.importorskip("torch")
    if subject.startswith("transformers"):
        pytest.importorskip("transformers")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, subject, "5"],
        env={**os.environ, "BERTREF_CACHE": str(tmp_path)}, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    words = f"{subject}: {found}"
    print(words)
    assert found["verdict"] == "right", words
    assert found["judged"] > 600, words
    assert found["peak GB"] < MOST, words
