"""`bertref.verify` for users of Python and of pytest."""

import os
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import pytest

import bertref.verify
from bertref.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = [
    "Answers", "Case", "Cause", "Diagnosis", "Finding", "Place", "PythonSubject", "Report", "TransformersSubject",
    "assert_matches", "check", "compare", "generate", "parse",
]  # fmt: skip

TESTS = """
import my_bert

def test_right(bertref_verify):
    report = bertref_verify(my_bert.right, seed=2, optimizer=None)
    assert report.verdict == "right"

def test_wrong(bertref_verify):
    bertref_verify(my_bert.wrong, seed=2)

def test_by_hand():
    import bertref.verify
    bertref.verify.assert_matches(my_bert.wrong, seed=2)
"""
MY_BERT = """
def right(case):
    p, ids = case["params"], case["batch"]["input_ids"]
    return {"embeddings.word": p["bert.embeddings.word_embeddings.weight"][ids]}

def wrong(case):
    p, ids = case["params"], case["batch"]["input_ids"]
    return {"embeddings.word": p["bert.embeddings.word_embeddings.weight"][ids] * 1.0001}
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names() -> None:
    assert sorted(bertref.verify.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(bertref.verify))
    for name in PUBLIC:
        thing = getattr(bertref.verify, name)
        assert thing.__name__ == name
        assert len(thing.__doc__ or "") > 20
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bertref.verify.nothing  # noqa: B018


def test_check_is_the_function_whatever_was_imported_before() -> None:
    code = "import bertref.verify as v, bertref.verify.checking, bertref.verify.subjects; print(callable(v.check))"
    assert python(code) == "True"


@pytest.mark.parametrize("module", ["bertref.verify", "bertref.verify.pytest_plugin"])
def test_nothing_heavy_is_imported_before_it_is_used(module: str) -> None:
    heavy = "('numpy', 'torch', 'onnx', 'transformers', 'jax', 'rich', 'bertref.verify.checking')"
    assert python(f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_pytest_finds_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    target = project["project"]["entry-points"]["pytest11"]["bertref"]
    assert callable(import_module(target).bertref_verify)


def test_the_fixture_in_a_real_run_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "my_bert.py").write_text(MY_BERT, encoding="utf-8")
    (tmp_path / "test_my_bert.py").write_text(TESTS, encoding="utf-8")
    # With CI or BUILD_NUMBER set pytest repeats every report whole in its summary, which the counts below must not see.
    plain = {"CI": "", "BUILD_NUMBER": "", "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = {**os.environ, **plain, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "bertref.verify.pytest_plugin", "-p", "no:cacheprovider",
         "--junit-xml=result.xml", "-o", "junit_family=xunit1", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 1 passed" in done.stdout
    assert "DIVERGES: wrong: first wrong tensor embeddings.word (float32, tiny, seed 2)" in done.stdout
    assert done.stdout.count("look at       bertref/ops/embedding.py") == 2
    tests = {test.attrib["name"]: test for test in ET.parse(tmp_path / "result.xml").getroot().iter("testcase")}
    seen = {name: {p.attrib["name"]: p.attrib["value"] for p in test.iter("property")} for name, test in tests.items()}
    assert seen["test_right"]["bertref_verdict"] == "right"
    assert seen["test_wrong"]["bertref_verdict"] == "diverges"
    assert seen["test_wrong"]["bertref_first"] == "embeddings.word"
    assert "seed 2" in seen["test_wrong"]["bertref_case"]


def test_what_is_no_subject_is_refused() -> None:
    with pytest.raises(InputError, match="verify: int is no subject"):
        bertref.verify.check(7)
    with pytest.raises(InputError, match="a case is given"):
        bertref.verify.check("numpy", bertref.verify.generate(0), size="small")


def test_patterns_and_parts_are_checked() -> None:
    with pytest.raises(InputError, match=r"no answer is called 'layer.0.querry'; is it 'layer.0.query'\?"):
        bertref.verify.check("numpy", wanted=["layer.0.querry"])
    with pytest.raises(InputError, match="no part 'sideways'"):
        bertref.verify.check("numpy", only="sideways")
