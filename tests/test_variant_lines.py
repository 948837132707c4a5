"""The code that RoBERTa, ALBERT and DistilBERT add outside of their five rooms stays small, and names them nowhere."""

import pytest

from . import variant_lines
from .variant_lines import ALSO, HYPOTHESES, ROOT, TITLES, WHOLE, Module, counted, data_of, lines_of, modules

MOST = 300
NAMES_THEM = {
    "bertref/variants.py", "bertref/presets.py", "bertref/train/pretraining/student.py",
    "bertref/verify/cases/case.py", "bertref/verify/diagnosis/families/embeddings.py", "cli/case_options.py",
    "cli/pretrain.py", "cli/vocab.py",
}  # fmt: skip
"""Modules outside of the rooms with a variant's name in their code: the tables, which network a student may be, what a
case is asked for, a cause's words, and the help of options."""

GROUPS = (
    ("bertref/config.py", "bertref/params.py", "bertref/layout.py", "bertref/presets.py", "bertref/variants.py",
     "bertref/data/"),
    ("bertref/layers/", "bertref/model.py"),
    ("bertref/train/",),
    ("bertref/checkpoint/", "bertref/convert/", "bertref/onnx_export/", "bertref/inference/", "bertref/bench/"),
    ("bertref/verify/",),
    ("cli/",),
)  # fmt: skip
"""The rows of the table in CONTRIBUTING.md."""

SAMPLE = """
from .variants import BERT, new_one

def forward(x, config):
    \"\"\"Of RoBERTa, too.\"\"\"
    if config.variant.counts_tokens:  # a variant
        x = shifted(x)
        y = x + 1
    else:
        y = x
    for group in range(config.num_hidden_groups):
        y = y + group
    names = ["bert",
             "distilbert"]
    if (
        config.variant is BERT
    ):
        y = new_one(y)
    return y

WORDS = {"RoBERTa": 1}
"""


def test_the_lines_of_variants_are_few() -> None:
    numbers = counted()
    assert sum(numbers.values()) < MOST, "\n".join(f"{number:4}  {path}" for path, number in numbers.items())


def test_the_table_in_contributing_is_right() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| Where | Lines | What |")[2]
    told = [int(row.split("|")[2]) for row in table.split("\n\n")[0].split("\n")[2:]]
    found = [sum(n for path, n in counted().items() if path.startswith(group)) for group in GROUPS]
    assert told == found
    assert sum(found) == sum(counted().values())


def test_what_is_listed_is_there() -> None:
    """A table that is out of date would count too little."""
    known = {module.path: module for module in modules()}
    for path, names in WHOLE.items():
        assert {*names} <= known[path].definitions.keys(), path
    for path, texts in ALSO.items():
        for text in texts:
            assert known[path].beginning((text,)) & known[path].code, (path, text)
    assert {name for module in modules() for name in module.hypotheses} == {*HYPOTHESES}


def test_no_other_module_names_a_variant() -> None:
    found = set()
    for module in modules():
        lines = (module.lines[number - 1] for number in module.code)
        if any(title in line for line in lines for title in TITLES):
            found.add(module.path)
    assert found == NAMES_THEM


def test_ops_and_the_model_hold_no_variants_name() -> None:
    """Neither in code nor in words."""
    for path in (ROOT / "bertref" / "model.py", *(ROOT / "bertref" / "ops").glob("*.py")):
        text = path.read_text(encoding="utf-8").lower()
        assert not [title for title in TITLES if title.lower() in text], path


def test_a_condition_counts_with_what_it_decides_and_a_literal_is_data() -> None:
    module = Module.of("bertref/sample.py", SAMPLE)
    lines = {number: module.lines[number - 1].strip() for number in sorted(lines_of(module))}
    assert [*lines.values()] == [
        "if config.variant.counts_tokens:  # a variant", "x = shifted(x)", "y = x + 1",
        "for group in range(config.num_hidden_groups):", "y = y + group", '"distilbert"]', "if (",
        "config.variant is BERT", "):", "y = new_one(y)",
    ]  # fmt: skip
    assert [module.lines[number - 1] for number in data_of(module)] == ['WORDS = {"RoBERTa": 1}']


def test_a_new_setting_counts_without_being_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Module.of("bertref/sample.py", "def f(config):\n    return config.norm_first\n")
    assert not lines_of(module)
    monkeypatch.setattr(variant_lines, "WORDS", variant_lines.WORDS | {"norm_first"})
    assert lines_of(module) == {2}
