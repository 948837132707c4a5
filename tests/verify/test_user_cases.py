"""Right code of users that was called wrong once: the scripts of the data folder, each one example of its kind."""

import subprocess
import sys
from pathlib import Path

import pytest

from bertref.verify import generate
from bertref.verify.checking import check
from bertref.verify.meant import case_for
from bertref.verify.report.mistakes import mistakes
from bertref.verify.subjects import parse
from tests.cli_helpers import bertref, environment

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent / "subjects" / "examples"


@pytest.fixture
def cases(data_dir: Path) -> Path:
    return data_dir / "cases"


@pytest.mark.parametrize("seed", [0, 2])
def test_a_composed_norm_in_bfloat16(cases: Path, seed: int) -> None:
    subject = parse(f"python:{cases / 'subjects.py'}:composed_norm")
    report = check(subject, case_for(subject, seed, size="small"), only="forward", repeat=False)
    assert report.verdict == "right", report.first


def test_a_mask_that_is_not_passed_on_is_one_mistake(cases: Path) -> None:
    subject = parse(f"python:{cases / 'subjects.py'}:no_mask")
    report = check(subject, case_for(subject), only="forward", repeat=False)
    assert report.first == "layer.0.probs"
    assert [mistake.step for mistake in mistakes(report)] == ["layer.N.probs"]


def test_one_dropout_that_is_on(cases: Path) -> None:
    subject = parse(f"python:{cases / 'subjects.py'}:one_dropout")
    report = check(subject, case_for(subject), only="backward")
    assert [mistake.step for mistake in mistakes(report)] == ["layer.N.ffn_sum"]
    assert {f.status for f in report.findings} == {"unsteady", "inherited", "right"}
    assert check(subject, case_for(subject), only="forward").first == "layer.0.ffn_sum"


def test_one_mistake_of_a_partial_dump_is_one(cases: Path) -> None:
    report = check(parse(f"python:{cases / 'own.py'}:make"), generate(0), repeat=False)
    assert [[f.name for f in mistake.findings] for mistake in mistakes(report)] == [["layer.1.output"]]
    assert report.ask == ("layer.1.ffn_sum",)
    assert {f.explained_by for f in report.findings if f.status == "wrong"} == {"", "layer.1.output"}


def test_a_bracket_follows_the_graph(cases: Path) -> None:
    report = check(parse(f"python:{cases / 'between.py'}:make"), generate(0), repeat=False)
    assert (report.last_right, report.first) == ("layer.1.output", "mlm.logits")
    assert report.between == ("mlm.dense", "mlm.act", "mlm.transform")
    assert report.ask == ("mlm.transform",)
    assert len(mistakes(report)) == 1


@pytest.mark.parametrize("name", ["Wide", "Narrow"])
def test_corrections_in_float64_and_in_float32(cases: Path, name: str) -> None:
    report = check(parse(f"python:{cases / 'bias_correction.py'}:{name}"), generate(0), only="update", repeat=False)
    assert report.verdict == "right", report.first


def test_a_command_says_what_it_computed_in(cases: Path) -> None:
    done = bertref("verify", f"cmd:{sys.executable} {cases / 'cmd_precision.py'} {{case}} {{out}}", "--only", "forward")
    assert done.returncode == 0, done.stdout
    assert "mixed-bfloat16" in done.stdout


@pytest.mark.parametrize("name", ["TwoRuns", "OneRun"])
def test_a_compiled_gradient(cases: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax", reason="jax is not installed: its example isn't run")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    subject = parse(f"python:{cases / 'jax_jit.py'}:{name}")
    report = check(subject, generate(3, edge="large-scores", optimizer=None), repeat=False)
    assert report.verdict == "right", report.first
    assert any("two runs" in note for note in report.notes) == (name == "TwoRuns")


def test_a_file_in_float16_has_its_constants_in_float16(cases: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxconverter_common", reason="onnxconverter-common is not installed: no file is converted")
    script = [sys.executable, str(cases / "onnx_fp16_scale.py"), str(tmp_path), "2"]
    subprocess.run(script, check=True, capture_output=True, env=environment())
    done = bertref("verify", f"onnx:{tmp_path / 'fp16.onnx'}", "--model", str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "a factor rounded to half precision" in done.stdout
