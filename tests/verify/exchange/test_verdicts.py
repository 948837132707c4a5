"""The same mistake gets the same verdict, whoever made it and however its numbers arrive.

Four implementations that share no code make it: Hugging Face's model, the example in NumPy, the program in C, and dumps
of what they computed, in other names and layouts.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.verify import checking
from bertref.verify.cases.case import generate
from bertref.verify.exchange import write_answers, write_case
from bertref.verify.records import Arrays, Report
from bertref.verify.subject import Subject
from bertref.verify.subjects import parse
from bertref.verify.subjects.dump import DumpSubject
from tests.verify.mistakes import MISTAKES, Mistake

from . import test_c_program as c
from .folders import dump, packed

check = partial(checking.check, diagnosis=False)
"""For verdicts: why something is wrong is not looked for."""

CASE = generate(7)
FIVE = ("embeddings.norm", "layer.0.attention_norm", "layer.0.output", "layer.1.attention_norm", "layer.1.output")
NUMPY = Path(__file__).parents[1] / "subjects" / "examples" / "numpy_bert.py"

torch = pytest.importorskip("torch", reason="torch is not installed: extra [torch]")
pytest.importorskip("transformers", reason="transformers is not installed: extra [test]")


def tanh_gelu_in_last_layer(model: Any) -> None:
    model.bert.encoder.layer[-1].intermediate.intermediate_act_fn = torch.nn.GELU(approximate="tanh")


def mistake(name: str) -> Mistake:
    return next(m for m in MISTAKES if m.name == name)


TANH = "np.tanh(np.float32(math.sqrt(2 / math.pi)) * (wide + np.float32(0.044715) * wide**3))"
KINDS: dict[str, dict[str, Any]] = {
    "none": {"patch": None, "numpy": ("", ""), "flags": [], "bracket": (None, None), "exact": None},
    "scale": {
        "patch": mistake("scale-by-hidden-size").patch,
        "numpy": ("np.float32(math.sqrt(q.shape[-1]))", "np.float32(math.sqrt(x.shape[-1]))"),
        "flags": ["-DSCALE=1/sqrt(H)"],
        "bracket": ("embeddings.norm", "layer.0.attention_norm"),
        "exact": "layer.0.scores",
    },
    "epsilon": {
        "patch": mistake("layer-norm-epsilon-1e-5").patch,
        "numpy": ('np.float32(config["layer_norm_eps"])', "np.float32(1e-5)"),
        "flags": ["-DEPSILON=1e-5"],
        "bracket": (None, "embeddings.norm"),
        "exact": "embeddings.norm",
    },
    "GELU of the last layer": {
        "patch": tanh_gelu_in_last_layer,
        "numpy": ("erf(wide / np.float32(math.sqrt(2)))", f"({TANH} if i else erf(wide / np.float32(math.sqrt(2))))"),
        "flags": None,
        "bracket": ("layer.1.attention_norm", "layer.1.output"),
        "exact": "layer.1.ffn_act",
    },
}
"""The mistake: in Hugging Face's model; in the NumPy program, what is replaced by what; in the C program, the flags;
the last right and the first wrong of five probes; the first wrong of all."""


def hugging_face(patch: Callable[[Any], None] | None, step: Any = None) -> Subject:
    from bertref.verify.subjects import torch_model
    from bertref.verify.subjects.transformers import TransformersSubject

    def build(case: Any) -> Any:
        model = torch_model.stock(case.config, case.numerics)
        if patch is not None:
            patch(model)
        return model

    return TransformersSubject(build, step=step)


def numpy_program(folder: Path, old: str, new: str) -> Subject:
    source = NUMPY.read_text(encoding="utf-8")
    assert old in source
    (folder / "theirs.py").write_text(source.replace(old, new), encoding="utf-8")
    return parse(f"python:{folder / 'theirs.py'}:forward")


def other_layout(folder: Path, values: Arrays) -> Subject:
    """Five probes as a program would dump them that packs tokens and has its own names."""
    theirs = {"emb": packed(values[FIVE[0]])}
    for i in (0, 1):
        theirs[f"block{i}/mid"] = packed(values[f"layer.{i}.attention_norm"]).T
        theirs[f"block{i}/out"] = packed(values[f"layer.{i}.output"])
    mapping = folder / "names.toml"
    mapping.write_text(
        '[tensors]\n"emb" = {to = "embeddings.norm", do = ["packed"]}\n'
        '"block{layer}/mid" = {to = "layer.{layer}.attention_norm", do = ["transpose", "packed"]}\n'
        '"block{layer}/out" = {to = "layer.{layer}.output", do = ["packed"]}\n',
        encoding="utf-8",
    )
    return DumpSubject(dump(folder / "packed", theirs, precision="float32"), mapping=mapping)


def subjects(folder: Path, kind: dict[str, Any]) -> dict[str, Subject]:
    """Everyone who makes the mistake."""
    torch_model = hugging_face(kind["patch"])
    found = {"transformers": torch_model, "python:": numpy_program(folder, *kind["numpy"])}
    values = torch_model.answer(CASE).values
    found["dump:, packed"] = other_layout(folder, values)
    some = {name: values[name] for name in FIVE}
    found["dump:"] = parse(f"dump:{write_answers(some, CASE, folder / 'five', form='npy', precision='float32')}")
    if kind["flags"] is not None and c.COMPILER is not None:
        found["cmd:"] = parse(f"cmd:{c.command(c.compiled(folder, *kind['flags']))}")
    return found


def verdict(report: Report) -> tuple[str, str | None, str | None]:
    return report.verdict, report.last_right, report.first


@pytest.mark.parametrize("name", KINDS)
def test_five_probes_bracket_the_guilty_block(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    wanted = ("diverges" if kind["exact"] else "right", *kind["bracket"])
    for who, subject in subjects(tmp_path, kind).items():
        report = check(subject, CASE, wanted=FIVE)
        if kind["exact"] is None:
            assert report.verdict == "right", who
        else:
            assert verdict(report) == wanted, who
        statuses = {f.name: f.status for f in report.findings if f.name in FIVE}
        first = FIVE.index(kind["bracket"][1]) if kind["exact"] else 5
        assert [statuses[probe] == "right" for probe in FIVE] == [i < first for i in range(5)], who
        assert report.exit_code == bool(kind["exact"]), who


@pytest.mark.skipif(c.COMPILER is None, reason="no C compiler (cc, gcc or clang) is installed")
@pytest.mark.parametrize("name", ["none", "scale", "epsilon"])
def test_the_c_program_gets_the_verdict_of_transformers(tmp_path: Path, name: str) -> None:
    """As a command and as a dump, with all probes that it writes; the first wrong tensor is the mistake's own."""
    kind = KINDS[name]
    program = c.compiled(tmp_path, *kind["flags"])
    folder = write_case(CASE, tmp_path / "case")
    (folder / "answers").mkdir()
    c.subprocess.run([str(program), str(folder), str(folder / "answers")], check=True, timeout=60)
    command = check(parse(f"cmd:{c.command(program)}"), CASE)
    apart = check(parse(f"dump:{folder / 'answers'}"), CASE)
    theirs = check(hugging_face(kind["patch"]), CASE)
    assert command.findings == apart.findings
    assert command.first == apart.first == theirs.first == kind["exact"]
    assert command.verdict == apart.verdict == theirs.verdict == ("diverges" if kind["exact"] else "right")
    assert command.precision == apart.precision == "float32"


@pytest.mark.parametrize(
    "name",
    ["tied-table-without-input-path", "sentence-labels-inverted", "decay-missing"],
)
def test_a_dump_of_everything_is_judged_as_the_live_model(tmp_path: Path, name: str) -> None:
    """Backward, loss and optimiser mistakes, too; every finding is the same, number for number."""
    found = mistake(name)
    live = hugging_face(found.patch, found.step)
    values = live.answer(CASE).values
    assert any(key.startswith("update:") for key in values)
    written = write_answers(values, CASE, tmp_path / "all", form="safetensors", precision="float32")
    one, two = check(live, CASE, repeat=False), check(DumpSubject(written), CASE)
    assert one.verdict == "diverges"
    assert one.first == found.expected(CASE.config.num_hidden_layers)
    assert verdict(one) == verdict(two)
    assert one.findings == two.findings


def test_numbers_that_are_not_finite_are_judged_and_not_refused(tmp_path: Path) -> None:
    values = hugging_face(None).answer(CASE, FIVE).values
    values["layer.0.output"] = np.full_like(values["layer.0.output"], np.nan)
    report = check(DumpSubject(write_answers(values, CASE, tmp_path / "nan")), CASE)
    finding = next(f for f in report.findings if f.name == "layer.0.output")
    assert (report.verdict, finding.status) == ("diverges", "not-finite")
