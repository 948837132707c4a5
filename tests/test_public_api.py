"""The names that users may rely on. Adding, renaming or removing one changes this list, and with it the version."""

import inspect
import tomllib
from pathlib import Path

import pytest

import bertref

PUBLIC = [
    "BertConfig",
    "BertrefError",
    "EvaluateOptions",
    "FinetuneOptions",
    "InputError",
    "Model",
    "Numerics",
    "PretrainOptions",
    "Tokenizer",
    "evaluate",
    "finetune",
    "load",
    "pretrain",
]
METHODS = {
    "Model": [
        "answer",
        "answer_batch",
        "attention",
        "choose",
        "choose_batch",
        "classify",
        "classify_batch",
        "embed",
        "encode",
        "explain",
        "features",
        "next_sentence",
        "next_sentence_batch",
        "predict",
        "predict_batch",
        "tag",
        "tag_batch",
    ],
    "Tokenizer": ["decode", "encode", "encode_batch", "from_pretrained", "save_pretrained", "tokenize"],
}


def test_the_public_names() -> None:
    assert sorted(bertref.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(bertref))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there_and_explained(name: str) -> None:
    thing = getattr(bertref, name)
    assert thing.__name__ == name
    doc = inspect.getdoc(thing) or ""
    # a dataclass without a docstring gets its signature as one
    assert len(doc) > 20
    assert not doc.startswith(f"{name}(")


@pytest.mark.parametrize(("name", "method"), [(name, method) for name, some in METHODS.items() for method in some])
def test_a_public_method_is_there_and_explained(name: str, method: str) -> None:
    assert len(vars(getattr(bertref, name))[method].__doc__ or "") > 10


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        bertref.no_such_name  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert bertref.__version__ == project["project"]["version"]
