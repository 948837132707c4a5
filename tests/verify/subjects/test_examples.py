"""The subjects of `examples/`, one a framework: each is right, and a mistake in its text is found where it was made.

Those whose framework isn't among the test dependencies are run by `.ci/run-foreign`."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.records import Report
from bertref.verify.subjects import parse

EXAMPLES = Path(__file__).parent / "examples"


@dataclass(frozen=True)
class Example:
    """An example, the framework that it needs, how many answers it gives, what is written in place of what, the first
    tensor that is wrong then and what is looked at; the step that the framework makes, where it isn't the dialect's."""

    file: str
    target: str
    framework: str
    answers: int
    right: str
    wrong: str
    first: str
    only: str = "forward"
    optimizer: str = "adamw"


ALL = [
    Example("numpy_bert.py", "forward", "numpy", 6, "- x.mean(-1, keepdims=True)", "", "embeddings.norm"),
    Example("torch_bert.py", "Bert", "torch", 50, "/ weights.sum()", "/ weights.numel()", "loss.mlm"),
    Example("torch_encoder_bert.py", "Bert", "torch", 101, 'layer_norm_eps=config["layer_norm_eps"], ', "",
            "layer.0.output"),
    Example("jax_bert.py", "Bert", "jax", 50, "approximate=False", "approximate=True", "layer.0.output"),
    Example("optax_bert.py", "Bert", "optax", 98, "mask={name: name in settings[\"decayed\"] for name in params}", "",
            "update:bert.embeddings.LayerNorm.weight", "update"),
    Example("keras_bert.py", "Bert", "keras", 107, 'LayerNormalization(epsilon=config["layer_norm_eps"])',
            "LayerNormalization()", "embeddings.norm", optimizer="adamw-epsilon-hat"),
    Example("mlx_bert.py", "Bert", "mlx", 107, "nn.gelu(", "nn.gelu_approx(", "layer.0.ffn_act"),
    Example("openvino_bert.py", "Bert", "openvino", 29, 'from_dict(case["config"])',
            'from_dict(case["config"] | {"layer_norm_eps": 1e-5})', "embeddings.norm"),
    Example("ctranslate2_bert.py", "Bert", "ctranslate2", 2, 'from_dict(case["config"])',
            'from_dict(case["config"] | {"layer_norm_eps": 1e-5})', "layer.1.output"),
]  # fmt: skip

@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keras writes its settings, and OpenVINO sends what it was used for, where they are not told otherwise."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("CI", "true")


def needs(framework: str) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed: its example isn't run")


def checked(path: Path, target: str, **options: Any) -> Report:
    """What is said of a program, its case being that of `options`."""
    return check(parse(f"python:{path}:{target}"), seed=61, **options)


@pytest.mark.parametrize("example", ALL, ids=lambda one: one.file)
def test_it_is_right(example: Example) -> None:
    needs(example.framework)
    report = checked(EXAMPLES / example.file, example.target, optimizer=example.optimizer)
    assert report.verdict == "right", report.first
    assert len([one for one in report.findings if one.status == "right"]) >= example.answers


@pytest.mark.parametrize("example", ALL, ids=lambda one: one.file)
def test_a_mistake_in_it_is_found_where_it_is(example: Example, tmp_path: Path) -> None:
    needs(example.framework)
    for path in EXAMPLES.glob("*.py"):  # some use each other
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed, text = tmp_path / example.file, (EXAMPLES / example.file).read_text(encoding="utf-8")
    assert example.right in text
    changed.write_text(text.replace(example.right, example.wrong), encoding="utf-8")
    report = checked(changed, example.target, only=example.only, repeat=False, diagnosis=False)
    assert report.verdict == "diverges"
    assert report.first == example.first


# ---------------------------------------------------------------------------------------------------------------------
# what is otherwise in the frameworks themselves


def test_where_keras_adds_epsilon_is_named() -> None:
    """Beside corrections in float32, which are no mistake."""
    needs("keras")
    report = checked(EXAMPLES / "keras_bert.py", "Bert", only="update", repeat=False)
    assert report.diagnosis is not None
    assert [one.id for one in report.diagnosis.causes] == ["optimizer.epsilon_hat"]
    assert not report.diagnosis.left


def test_that_mlx_does_not_correct_its_moments_is_named() -> None:
    needs("mlx")
    path = EXAMPLES / "mlx_bert.py"
    assert checked(path, "Uncorrected", optimizer="adamw-no-correction", repeat=False).verdict == "right"
    report = checked(path, "Uncorrected", only="update", repeat=False)
    assert report.diagnosis is not None
    assert [one.id for one in report.diagnosis.causes] == ["optimizer.bias_correction"]
    assert not report.diagnosis.left


def test_that_openvino_saves_weights_in_float16_is_named() -> None:
    needs("openvino")
    subject, case = parse(f"python:{EXAMPLES / 'openvino_bert.py'}:Saved"), generate(61)
    held = {name: array.astype(np.float16).astype(np.float64) for name, array in case.params.items()}
    report = check(subject, replace(case, params=held), only="forward", repeat=False)
    assert report.verdict == "right", report.first
    report = check(subject, case, only="forward", repeat=False)
    assert report.first == "embeddings.norm"
    assert report.diagnosis is not None
    assert [(one.id, one.choice) for one in report.diagnosis.causes] == [("weights.rounded", "float16")]
    assert not report.diagnosis.left


def test_that_keras_hub_s_head_does_not_belong_to_its_encoder_is_named() -> None:
    """Both are as Google's but for the head's activation and epsilon."""
    needs("keras_hub")
    report = checked(EXAMPLES / "keras_hub_bert.py", "Bert", dialect="google", optimizer=None)
    assert report.first == "mlm.act"
    assert report.diagnosis is not None
    assert [one.id for one in report.diagnosis.causes] == ["activation.erf_gelu", "norm.epsilon"]
    assert not report.diagnosis.left
