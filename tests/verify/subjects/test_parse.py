"""Subjects by the words that name them."""

from pathlib import Path

import pytest

from bertref.errors import BertrefError, InputError
from bertref.verify.subject import Subject
from bertref.verify.subjects import FORMS, parse

FILE = Path(__file__).parent / "examples" / "numpy_bert.py"


@pytest.mark.parametrize(
    ("spec", "kind", "precision"),
    [
        ("numpy", "BackendSubject", "float32"),
        ("numpy:dtype=float64", "BackendSubject", "float64"),
        ("torch:dtype=bfloat16,kernels=off", "BackendSubject", "bfloat16"),
        ("torch:cpu:dtype=float16", "BackendSubject", "float16"),
        ("strict:kernels=off", "BackendSubject", "float32"),
        ("transformers", "TransformersSubject", "float32"),
        ("transformers:attention=sdpa,dtype=float64", "TransformersSubject", "float64"),
        ("transformers:autocast=bfloat16", "TransformersSubject", "mixed-bfloat16"),
        (f"python:{FILE}:forward", "PythonSubject", "float32"),
        ("python:tests.verify.subjects.examples.torch_bert:Bert", "PythonSubject", "float32"),
        ("cmd:./my_bert --a=b,c {case} {out}", "CommandSubject", None),
    ],
)
def test_a_name(spec: str, kind: str, precision: str | None) -> None:
    subject: Subject = parse(spec)
    assert type(subject).__name__ == kind
    assert subject.precision == precision
    assert subject.live
    assert subject.name


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tensorflow", ("'tensorflow' can't be verified", *FORMS)),
        ("", ("can't be verified", "numpy")),
        ("numpy:dtype=float16", ("numpy computes in", "not in float16")),
        ("numpy:dtype=int8", ("dtype is 'int8'", "float64, float32, bfloat16, float16")),
        ("numpy:kernel=off", ("no option 'kernel'", "dtype, kernels")),
        ("numpy:kernels=", ("kernels is ''", "on, off")),
        ("numpy:gpu", ("numpy", "gpu")),
        ("torch:cuda:x:dtype=float32", ("cuda:x",)),
        ("transformers:attention=sdpa,device=cuda", ("no option 'device'", "attention, dtype, autocast")),
        ("transformers:/no/such/folder", ("/no/such/folder", "transformers can't load")),
        ("onnx:", ("names nothing to verify", "onnx:FILE")),
        ("onnx:/no/such.onnx", ("/no/such.onnx", "no such file")),
        ("dump:", ("dump:FOLDER",)),
        ("cmd: ", ("cmd:COMMAND",)),
        ("python:os", ("names no factory", "python:PACKAGE.MODULE:FACTORY")),
    ],
)
def test_a_wrong_name_says_what_there_is(spec: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BertrefError) as caught:
        parse(spec)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message.splitlines()) <= 2


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        assert parse("torch:cuda").name.startswith("torch:cuda")
        return
    with pytest.raises(BertrefError, match="torch:cuda"):
        parse("torch:cuda")


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(BertrefError, match="pip install transformers"):
        parse("transformers")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(BertrefError, match=r"bertref\[onnx\]"):
        parse(f"onnx:{FILE}")


def test_input_errors_are_input_errors() -> None:
    with pytest.raises(InputError):
        parse("nothing")
