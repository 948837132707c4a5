"""Models as people have them: settings of their own, no padding id, one token type, no pooler, a decoder of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.onnx_export import export
from bertref.verify.cases.case import generate
from bertref.verify.cases.make import make_case
from bertref.verify.checking import check
from bertref.verify.meant import case_for
from bertref.verify.records import Report
from bertref.verify.report.words import explain
from bertref.verify.subjects.onnx import OnnxSubject
from bertref.verify.subjects.transformers import TransformersSubject

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIZES = {"hidden_size": 20, "num_hidden_layers": 1, "num_attention_heads": 5, "intermediate_size": 28, "vocab_size": 41,
         "max_position_embeddings": 12}  # fmt: skip


def model(kind: str = "BertForPreTraining", options: dict[str, Any] | None = None, **settings: Any) -> Any:
    config = transformers.BertConfig(**SIZES, **settings, attn_implementation="eager")
    return getattr(transformers, kind)(config, **(options or {})).eval()


def own_settings() -> Any:
    made = model()
    made.config.use_special_pooling, made.config.loss_weight = False, 0.5
    return made


MODELS = {
    "settings of their owner's": own_settings,
    "pad_token_id null": lambda: model(pad_token_id=None),
    "one token type": lambda: model(type_vocab_size=1),
    "untied decoder": lambda: model(tie_word_embeddings=False),
    "untied decoder alone": lambda: model("BertForMaskedLM", tie_word_embeddings=False),
    "words alone": lambda: model("BertForMaskedLM"),
    "sentences alone": lambda: model("BertForNextSentencePrediction"),
    "without pooler": lambda: model("BertModel", {"add_pooling_layer": False}),
    "with pooler": lambda: model("BertModel"),
    "classes": lambda: model("BertForSequenceClassification", num_labels=4),
    "a number": lambda: model("BertForSequenceClassification", num_labels=1),
    "many labels": lambda: model("BertForSequenceClassification", num_labels=3,
                                 problem_type="multi_label_classification"),
    "tokens": lambda: model("BertForTokenClassification", num_labels=5),
    "choices": lambda: model("BertForMultipleChoice"),
    "spans": lambda: model("BertForQuestionAnswering"),
}  # fmt: skip


def assert_all_judged(report: Report) -> None:
    assert report.verdict == "right", explain(report)
    assert {finding.status for finding in report.findings} == {"right"}


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_right_in_all_its_parts(name: str) -> None:
    assert_all_judged(check(MODELS[name]()))


@pytest.mark.parametrize("name", ["untied decoder", "many labels", "without pooler"])
def test_its_folder_is_right(name: str, tmp_path: Path) -> None:
    MODELS[name]().save_pretrained(tmp_path)
    report = check(f"transformers:{tmp_path}:attention=eager")
    assert report.verdict == "right", explain(report)
    assert sum(finding.status == "right" for finding in report.findings) >= 60


def test_the_config_is_left_as_it_was() -> None:
    made = model("BertForSequenceClassification", num_labels=3)
    before = made.config.to_dict()
    assert_all_judged(check(made))
    assert made.config.to_dict() == before


def test_a_decoder_that_should_be_tied_is_still_found() -> None:
    made = model()
    made.cls.predictions.decoder.weight = torch.nn.Parameter(0.02 * torch.randn(41, 20))

    def build(case: Any) -> Any:
        return made

    case = generate(3, L=1, H=20, A=5, I=28, V=41, S=12)
    report = check(TransformersSubject(build), case)
    assert any("not tied" in note for note in report.notes)


def test_the_span_loss_of_the_library_is_judged_where_rows_are_full() -> None:
    case = generate(3, head="question_answering", edge="full-rows", L=1)
    answers = TransformersSubject().answer(case)
    assert not any("computed from the model's logits" in note for note in answers.notes)
    assert check(TransformersSubject(), case).verdict == "right"


def test_a_model_is_not_asked_about_a_head_that_it_lacks() -> None:
    with pytest.raises(InputError, match="it can't be asked about multiple_choice"):
        case_for(TransformersSubject(model("BertForMaskedLM")), head="multiple_choice")
    inside = case_for(TransformersSubject(model("BertForMaskedLM")), head="encoder")
    assert (inside.heads, inside.objective) == ((), "encoder")
    assert_all_judged(check(TransformersSubject(model("BertForMaskedLM")), inside))


def test_a_file_without_token_types_is_asked_without_them(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    case = generate(5, L=1)
    path = tmp_path / "model.onnx"
    export(case.params, case.config, case.numerics, path, heads=("pretraining",))
    graph = onnx.load(str(path))
    zeros = onnx.helper.make_node("Sub", ["input_ids", "input_ids"], ["token_type_ids"])
    graph.graph.node.insert(0, zeros)
    kept = [value for value in graph.graph.input if value.name != "token_type_ids"]
    del graph.graph.input[:]
    graph.graph.input.extend(kept)
    onnx.save(graph, str(path))
    report = check(OnnxSubject(path))
    assert report.verdict == "right", explain(report)


def test_a_saved_models_head_is_that_of_the_case(tmp_path: Path) -> None:
    model("BertForSequenceClassification", num_labels=4).save_pretrained(tmp_path / "texts")
    model("BertForMaskedLM", tie_word_embeddings=False).save_pretrained(tmp_path / "words")
    for folder in ("texts", "words"):
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(36))]
        (tmp_path / folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    texts = make_case(model=tmp_path / "texts")
    assert (texts.objective, texts.num_labels) == ("sequence_classification", 4)
    untied = make_case(model=tmp_path / "words", head="masked_lm")
    assert (untied.heads, untied.tied) == (("masked_lm",), False)
    assert not np.array_equal(
        untied.params["cls.predictions.decoder.weight"], untied.params["bert.embeddings.word_embeddings.weight"]
    )
    assert check("numpy", untied).verdict == "right"
