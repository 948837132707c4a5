"""Questions with choices, asked of a file in texts: as many to a question as the file takes, or as the user says."""

import json
import warnings
from pathlib import Path

import pytest
import torch
import transformers

from bertref.config import config_to_dict
from bertref.errors import InputError
from bertref.verify.checking import check
from bertref.verify.meant import case_for, case_of_texts
from bertref.verify.report.words import explain
from bertref.verify.subjects.onnx import OnnxSubject

from .exported import CASE, INPUTS, changed, folder, hugging_face, own, statuses
from .test_outputs import scale

TEXTS = ["the of\tthes", "of\tof the", "the\tof", "thes of the\tthe", "of\tthes", "the the\tof of"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vocabulary."""
    found = folder(tmp_path_factory.mktemp("choices") / "hf")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "##s"]
    words += [f"w{i}" for i in range(CASE.config.vocab_size - len(words))]
    (found / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return found


def of_four(path: Path) -> Path:
    """What torch's exporter makes of transformers' class, for questions of four choices."""
    whole = hugging_face()
    model = transformers.BertForMultipleChoice(whole.config).eval()
    model.load_state_dict(whole.state_dict(), strict=False)
    given = tuple(torch.ones(2, 4, 5, dtype=torch.int64) for _ in INPUTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, given, str(path), dynamo=False, opset_version=17, input_names=list(INPUTS), output_names=["logits"],
            dynamic_axes={name: {0: "questions", 2: "sequence"} for name in INPUTS},
        )  # fmt: skip
    config = config_to_dict(CASE.config, CASE.numerics) | {"architectures": ["BertForMultipleChoice"]}
    (path.parent / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize(("choices", "shape"), [(None, (1, 6)), (3, (2, 3)), (2, (3, 2))])
def test_texts_are_choices(tmp_path: Path, model: Path, choices: int | None, shape: tuple[int, int]) -> None:
    path = own(tmp_path / "model.onnx", ("multiple_choice",))
    subject = OnnxSubject(path)
    case = case_of_texts(subject, model, TEXTS, choices=choices)
    report = check(subject, case, repeat=False)
    assert report.verdict == "right", explain(report)
    assert subject.answer(case).values["classifier.logits"].shape == shape
    wrong = OnnxSubject(changed(path, tmp_path / "wrong.onnx", lambda graph: scale(graph, "logits", 1.0001)))
    assert check(wrong, case, repeat=False).first == "classifier.logits"


def test_texts_that_are_no_whole_questions(tmp_path: Path, model: Path) -> None:
    subject = OnnxSubject(own(tmp_path / "model.onnx", ("multiple_choice",)))
    with pytest.raises(InputError, match="6 rows are no whole questions of 4 choices"):
        case_of_texts(subject, model, TEXTS, choices=4)
    words = OnnxSubject(own(tmp_path / "words.onnx", ("masked_lm",)))
    with pytest.raises(InputError, match="2 choices for masked_lm"):
        case_of_texts(words, model, TEXTS, choices=2)


def test_a_file_that_takes_four_choices_gets_four(tmp_path: Path, model: Path) -> None:
    subject = OnnxSubject(of_four(tmp_path / "model.onnx"))
    for case in (case_for(subject, 1), case_of_texts(subject, model, TEXTS[:4])):
        assert case.choices == 4
        report = check(subject, case, repeat=False)
        assert (report.verdict, statuses(report)["classifier.logits"]) == ("right", "right"), explain(report)
