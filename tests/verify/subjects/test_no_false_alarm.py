"""Correct implementations are right: 200 random cases each in the slow suite, a few in the fast one.

The limit was calibrated (`tests.verify.calibrate`) on seeds from 1,000,000 on and on heads of 4, 6, 8, 10 or 16; the
cases here have the seeds 20,000 to 20,199 and heads of 5, 7 or 12, so that none of their sizes was seen there.
"""

from pathlib import Path

import pytest

from tests.verify.loop import CASES, FIRST_SEED, main, verified
from tests.verify.right import FILES, IMPLEMENTATIONS, KINDS, OF_HEADS, OF_VARIANTS, WAYS

FAST = (20_029, 20_035)
"""Seeds of the fast suite, small cases: without and with a masked row. Each kind has one of them, in turn."""
FAST_OF_VARIANTS = (20_029, 20_032)
"""The same, for each kind: the head of pre-training, and the one that chooses among several texts."""
SAMPLE = [(kind, FAST[number % 2]) for number, kind in enumerate((*WAYS, *IMPLEMENTATIONS))]
SAMPLE += [(kind, seed) for kind in OF_VARIANTS for seed in FAST_OF_VARIANTS]
SAMPLE += [("file-dynamic-int8", FAST[0]), ("heads-dump", FAST[0])]  # the others are those of `onnx/` and `test_heads`
SAMPLE += [("file-float16", 20_103)]  # whose norms are left in float32, with weights that float16 doesn't hold
SAMPLE += [("torch:dtype=bfloat16", 40_033)]  # whose composed activation has few inputs in the tail
SAMPLE += [("composed-norms", 20_039)]  # 5 wide: whether they are composed doesn't show
assert {kind for kind, _ in SAMPLE} <= {*KINDS} == {*WAYS, *IMPLEMENTATIONS, *FILES, *OF_HEADS, *OF_VARIANTS}


def assert_right(kind: str, seed: int, folder: Path) -> None:
    line = verified(kind, seed, folder)
    assert line["verdict"] == "right", line
    assert line["judged"] > 3


@pytest.mark.parametrize(("kind", "seed"), SAMPLE)
def test_a_correct_implementation_is_right(kind: str, seed: int, tmp_path: Path) -> None:
    assert_right(kind, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_false_alarm_in_200_cases(kind: str, tmp_path: Path) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + CASES):
        assert_right(kind, seed, tmp_path)


def test_the_loop_writes_a_line_a_case_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, kind = tmp_path / "lines.jsonl", IMPLEMENTATIONS[0]
    assert main(["--kind", kind, "--cases", "1", "--out", str(out), "--seed", "20029"]) == 0
    first = out.read_text(encoding="utf-8")
    out.write_text(first + '{"kind": "numpy:dty', encoding="utf-8")  # a run that was killed
    assert main(["--kind", kind, "--cases", "2", "--out", str(out), "--seed", "20029"]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith(first)
    assert text.count("\n") == 2
    assert main(["--kind", kind, "--cases", "1", "--out", str(out), "--seed", "20029", "--forced"]) == 0
    assert '"causes": []' in out.read_text(encoding="utf-8")
    assert "2 cases, 0 alarms" in capsys.readouterr().out


def test_an_alarm_is_the_loop_s_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertref.verify.judgement.judge.LIMIT", 0.1)
    arguments = ["--kind", IMPLEMENTATIONS[0], "--cases", "1", "--out", str(tmp_path / "x"), "--seed", "20029"]
    assert main(arguments) == 1
