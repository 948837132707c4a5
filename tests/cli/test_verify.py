"""`bertref verify`: exit codes, what it draws, what it writes, and its errors."""

import io
import json
import shlex
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bertref.cli import render_verify
from bertref.verify.cases.case import generate
from bertref.verify.exchange import write_answers
from bertref.verify.judgement.reference import reference
from bertref.verify.report.layout import LAYER_COLUMNS
from tests.cli_helpers import Done, bertref, in_process
from tests.verify.report.reports import report, wrong

EXAMPLE = Path(__file__).resolve().parents[1] / "verify" / "subjects" / "examples" / "numpy_bert.py"


FED = """
def forward(case):
    return {}

def answer_step(case, name, inputs):
    if not name.endswith("_sum"):
        return {}
    first, second = inputs.values()
    return {name: first + second * (0.99 if name == "layer.1.ffn_sum" else 1)}

forward.answer_step = answer_step
"""
"""A subject that shows nothing of its run, with a wrong residual."""

MIXED = """
import os, sys
from bertref.verify.emulation.rounding import Arithmetic
from bertref.verify.emulation.simulate import simulate
from bertref.verify.exchange import read_case, write_answers

case = read_case(sys.argv[1])
values = simulate(case, Arithmetic("mixed-bfloat16", seed=1000), ["layer.0.output", "layer.1.output"])
os.rmdir(sys.argv[2])
write_answers(values, case, sys.argv[2], precision="mixed-bfloat16")
"""
"""A program that says what it computed in; its numbers alone look like float32."""


@pytest.fixture(scope="module", autouse=True)
def _no_model() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BERTREF_MODEL", raising=False)
        yield


def verify(*arguments: str) -> Done:
    return in_process("verify", *arguments)


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in NumPy with the other GELU."""
    source = EXAMPLE.read_text(encoding="utf-8")
    right = "erf(wide / np.float32(math.sqrt(2)))"
    assert right in source
    path = tmp_path_factory.mktemp("mistaken") / "my_bert.py"
    gelu = "np.tanh(np.float32(0.7978845608) * (wide + np.float32(0.044715) * wide**3))"
    path.write_text(source.replace(right, gelu), encoding="utf-8")
    return path


def test_help_shows_an_example_and_every_subject() -> None:
    text = verify("--help").stdout
    for part in ("bertref verify numpy", "onnx:FILE", "python:PACKAGE.MODULE:FACTORY", "dump:FOLDER", "{case} {out}"):
        assert part in text


def test_what_is_right_is_called_right_in_a_real_process() -> None:
    done = bertref("verify", "numpy", "--seed", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "RIGHT: numpy:" in done.stdout
    assert "replay        bertref verify numpy --seed 3\n" in done.stdout
    assert "layer 1" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_mistake_is_found_shown_and_written(mistaken: Path, tmp_path: Path) -> None:
    page, xml = tmp_path / "report.html", tmp_path / "report.xml"
    spec = f"python:{mistaken}:forward"
    done = verify(spec, "--html", str(page), "--junit", str(xml))
    assert done.returncode == 1
    assert "DIVERGES: " in done.stdout
    assert "first wrong   layer.0.output: wrong, and its direct inputs were not given" in done.stdout
    assert "last right    layer.0.attention_norm" in done.stdout
    cause = "the activation at layer.N.ffn_act (all layers) is GELU's tanh form; the model's is the exact GELU (erf)"
    assert f"cause         {cause}. With that the forward pass is right to rounding (" in done.stdout
    without = verify(spec, "--no-diagnosis").stdout
    assert "cause  " not in without
    assert f"replay        bertref verify {spec} --seed 0 --no-diagnosis\n" in without.replace("'", "")
    assert (
        "in between    not given: layer.0.ffn_pre, layer.0.ffn_act, layer.0.ffn_output, layer.0.ffn_sum" in done.stdout
    )
    assert "next          have it give layer.0.ffn_sum, too" in done.stdout
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<h2>Why</h2>" in text
    assert "GELU&#x27;s tanh form" in text
    assert "F.gelu(x, approximate=&#x27;tanh&#x27;)" in text
    assert int(ET.parse(xml).getroot()[0].attrib["failures"]) >= 2
    assert str(page) in done.stderr
    assert str(xml) in done.stderr


def test_a_step_that_is_not_recorded_is_found_by_feeding_it(tmp_path: Path) -> None:
    path = tmp_path / "my_bert.py"
    path.write_text(FED, encoding="utf-8")
    spec = f"python:{path}:forward"
    assert verify(spec, "--only", "forward", "--seed", "3").returncode == 2
    done = verify(spec, "--only", "forward", "--seed", "3", "--feed")
    assert (done.returncode, done.stderr) == (1, "")
    assert "first wrong   layer.1.ffn_sum: this step makes the error" in done.stdout
    assert "fed the reference's inputs" in done.stdout
    assert "4 steps fed the reference's inputs: 1 wrong: layer.1.ffn_sum" in done.stdout
    assert f"replay        bertref verify {spec} --seed 3 --only forward --feed\n" in done.stdout.replace("'", "")


def test_what_a_right_verdict_could_not_have_seen(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    options = ("--probes", "embeddings.norm,layer.0.output", "--blind-spots")
    done = verify("numpy", *options, "--html", str(page))
    assert done.returncode == 0
    assert "not seen      the row of the padding token in the table of words is 0" in done.stdout
    assert "the bias of layer.N.key (all layers) is not added: less than 0.1 times" in done.stdout
    assert "below         what changes less than float32 rounds could not show either: norm.epsilon" in done.stdout
    assert "replay        bertref verify numpy --seed 0" in done.stdout
    assert done.stdout.partition("replay ")[2].partition("\n")[0].endswith(" --blind-spots")
    assert "<h2>What could not have been seen</h2>" in page.read_text(encoding="utf-8")


def test_the_replayed_command_finds_the_same(mistaken: Path) -> None:
    spec = f"python:{mistaken}:forward"
    options = ("--seed", "5", "--probes", "layer.*.output, pooled", "--optimizer", "lamb", "--no-diagnosis", "--json")
    first = json.loads(verify(spec, *options).stdout)
    words = shlex.split(first["replay"])
    assert words[:2] == ["bertref", "verify"]
    again = json.loads(verify(*words[2:], "--json").stdout)
    assert again["findings"] == first["findings"]
    assert again["case"] == first["case"]
    given = {finding["name"] for finding in first["findings"] if finding["status"] != "missing"}
    assert given == {"layer.0.output", "layer.1.output", "pooled"}
    assert first["case"]["optimizer"]["kind"] == "lamb"


def test_fields_of_the_dialect_and_the_step_are_chosen_and_replayed() -> None:
    fields = "mlm_denominator_epsilon=1e-5,gelu=tanh,decay_exclusions=bias+LayerNorm"
    asked = ("--numerics", fields, "--step", "3", "--optimizer", "adamw-eps-root")
    found = json.loads(verify("numpy", *asked, "--only", "update", "--json").stdout)
    assert found["verdict"] == "right"
    numerics, step = found["case"]["numerics"], found["case"]["optimizer"]
    assert (numerics["gelu"], numerics["mlm_denominator_epsilon"]) == ("tanh", 1e-5)
    assert list(numerics["decay_exclusions"]) == ["bias", "LayerNorm"]
    assert (step["kind"], step["step"]) == ("adamw-eps-root", 3)
    assert shlex.split(found["replay"])[3:] == [
        "--seed", "0", "--numerics", fields, "--only", "update", "--optimizer", "adamw-eps-root",
        "--step", "3"]  # fmt: skip


def test_several_cases_are_summarised(mistaken: Path) -> None:
    done = verify(f"python:{mistaken}:forward", "--cases", "2", "--seed", "7", "--only", "forward")
    assert done.returncode == 1
    assert [line.split()[:3] for line in done.stdout.splitlines()[:2]] == [
        ["tiny,", "seed", "7"],
        ["tiny,", "seed", "8"],
    ]
    assert done.stdout.splitlines()[-1] == "0 of 2 cases right; first wrong: layer.0.output (2)"
    done = verify(f"python:{mistaken}:forward", "--cases", "2", "--seed", "7", "--only", "forward", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["diagnosis"] is not None for line in lines] == [True, False], "the same, so it isn't looked for again"
    done = verify("numpy", "--cases", "2", "--only", "forward", "--json")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["case"]["origin"]["seed"] for line in lines] == [0, 1]
    assert all(not f["name"].startswith(("grad:", "update:")) for line in lines for f in line["findings"])
    assert verify("numpy", "--cases", "2", "--only", "forward").stdout.endswith("2 of 2 cases right\n")


def test_shrink_finds_a_smaller_case(mistaken: Path) -> None:
    spec = f"python:{mistaken}:forward"
    done = verify(spec, "--shrink", "--json", "--probes", "layer.*.output,layer.*.attention_norm")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["first"] == "layer.0.output"
    assert found["case"]["config"]["num_hidden_layers"] == 1
    assert found["case"]["rows"] < 5
    assert found["case"]["origin"]["reduced"]["layers"] == 1
    assert found["replay"].endswith("--shrink")


@pytest.mark.parametrize("only", ["backward", "update"])
def test_parts_are_judged_alone(only: str) -> None:
    found = json.loads(verify("numpy:kernels=off", "--only", only, "--json").stdout)
    prefix = {"backward": "grad:", "update": "update:"}[only]
    assert found["findings"]
    assert all(f["name"].startswith(prefix) and f["status"] == "right" for f in found["findings"])


def test_a_part_that_is_not_there_could_not_run() -> None:
    done = verify(f"python:{EXAMPLE}:forward", "--only", "backward")
    assert done.returncode == 2
    assert "COULD NOT RUN" in done.stdout
    assert "gave nothing of the backward part" in done.stdout


def test_a_dump_brings_its_case(tmp_path: Path) -> None:
    folder = tmp_path / "my case"
    assert in_process("golden", "export", str(folder), "--seed", "11").returncode == 0
    case = generate(11)
    names = ["embeddings.norm", "layer.0.output", "layer.1.output", "loss.total"]
    values = {name: np.asarray(value, np.float32) for name, value in reference(case, names).values.items()}
    write_answers(values, case, folder / "right", precision="float32")
    values["layer.1.output"] = values["layer.1.output"] * np.float32(1.001)
    write_answers(values, case, folder / "wrong", precision="float32")
    assert verify(f"dump:{folder / 'right'}").returncode == 0
    done = verify(f"dump:{folder / 'wrong'}", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["first"], found["last_right"]) == (1, "layer.1.output", "layer.0.output")
    assert found["between"][0] == "layer.1.query"
    assert found["replay"] == shlex.join(["bertref", "verify", f"dump:{folder / 'wrong'}"])
    other = verify(f"dump:{folder / 'right'}", "--seed", "12")
    assert other.returncode == 2
    assert "seed 12" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "can't be verified"),
        (("numpy", "--probes", "layer.9.query"), "no answer is called 'layer.9.query'; is it "),
        (("numpy", "--dtype", "int8"), "dtype"),
        (("numpy", "--numerics", "gelu"), "--numerics: 'gelu'; write name=value, the name one of gelu, mask_value"),
        (("numpy", "--numerics", "mask_value=x"), "mask_value is 'x'; a number is expected"),
        (("numpy", "--optimizer", "amsgrad"), "the largest second moment so far"),
        (("numpy", "--mapping", "x.toml"), "a mapping (x.toml) can't be chosen for it"),
        (("numpy", "--html", "no/such/folder/x.html"), "its folder does not exist"),
        (("dump:no-such-folder",), "no-such-folder"),
        (("numpy", "--file", "no-such-file"), "no such file"),
        (("python:no_such_module:f",), "no such module"),
        (("cmd:false {case} {out}",), "false"),
        (("cmd:false {case} {out}", "--feed"), "--feed needs a subject that can do single steps (answer_step)"),
    ],
    ids=["subject", "probe", "dtype", "field", "number", "amsgrad", "mapping", "html", "dump", "file", "module",
         "command", "feed"],
)  # fmt: skip
def test_errors_are_short(arguments: tuple[str, ...], message: str) -> None:
    done = verify(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("bertref: ")
    assert len(done.stderr.splitlines()) <= 3
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_command_is_judged_in_the_precision_that_its_answers_declare(tmp_path: Path) -> None:
    program = tmp_path / "mixed.py"
    program.write_text(MIXED, encoding="utf-8")
    done = verify(f"cmd:{sys.executable} {program} {{case}} {{out}}", "--only", "forward")
    assert done.returncode == 0, done.stdout
    assert "mixed-bfloat16" in done.stdout
    assert "not declared" not in done.stdout


@pytest.mark.parametrize("option", [("--cases", "2"), ("--shrink",)], ids=["cases", "shrink"])
def test_a_dump_is_not_asked_again(tmp_path: Path, option: tuple[str, ...]) -> None:
    case = generate(0)
    write_answers(reference(case, ["loss.total"]).values, case, tmp_path / "dump")
    done = verify(f"dump:{tmp_path / 'dump'}", *option)
    assert done.returncode == 2
    assert option[0] in done.stderr


def test_an_error_is_in_junit_s_file_too(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    assert verify("python:no_such_module:f", "--junit", str(path)).returncode == 2
    [error] = ET.parse(path).getroot().iter("error")
    assert "no such module" in error.attrib["message"]


# ---------------------------------------------------------------------------------------------------------------------
# drawing


def drawn(monkeypatch: pytest.MonkeyPatch, *, width: int, terminal: bool, **options: Any) -> str:
    """A report with an error, as it is drawn."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, highlight=False, soft_wrap=True, **options)
    monkeypatch.setattr(render_verify, "out", console)
    found = report(
        wrong("layer.1.probs"), wrong("layer.1.context", "inherited"), wrong("grad:layer.0.key", "not-finite")
    )
    render_verify.report(found, "bertref verify torch --seed 0 --probes 'layer.*.output' --dialect google --size small")
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_maps_fit_the_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = drawn(monkeypatch, width=width, terminal=True, color_system=None)
    lines = text.splitlines()
    assert [line for line in lines if len(line) > width and "bertref verify" not in line] == []
    columns = set(LAYER_COLUMNS.values())
    titles = [line for line in lines if line.strip() and set(line.split()) <= columns]
    assert (len(titles) == 2) == (width >= 120)  # two maps, each in one block where there is room
    assert "!1234" in text
    assert "~4321" in text


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = drawn(monkeypatch, width=120, terminal=False)
    assert "\x1b" not in plain
    assert "\x1b[" in drawn(monkeypatch, width=120, terminal=True, color_system="standard")
    assert "gradients of the parameters: " in plain  # nothing is wrong there, so it is a line and not a map
    assert "next          bertref verify torch --seed 0" in plain
