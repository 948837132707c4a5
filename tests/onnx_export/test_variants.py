"""Files of RoBERTa, DistilBERT and ALBERT answer what the models answer, at every probe."""

from pathlib import Path

import onnxruntime
import pytest

from bertref.config import Numerics
from bertref.heads import parameter_shapes
from bertref.onnx_export import INPUTS, export
from bertref.topology import probe_names
from tests.variant_cases import small_variant

from .exported import LABELS, batch, check, expected, run, weights


@pytest.mark.parametrize("head", ["masked_lm", "sequence_classification"])
@pytest.mark.parametrize("name", ["roberta", "distilbert", "albert in groups"])
def test_a_file_answers_what_the_model_answers(name: str, head: str, tmp_path: Path) -> None:
    config, numerics = small_variant(name), Numerics()
    params = weights(config, (head,))
    probes = [probe for probe in probe_names(config, (head,), None) if not probe.startswith("classifier")]
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=(head,), probes=probes)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = {value.name for value in session.get_inputs()}
    assert names == set(INPUTS[:2] if name == "distilbert" else INPUTS)
    for lengths in ((11, 7, 3, 9), (1,), (6, 0, 3)):
        arrays = batch(config, lengths) if config.type_vocab_size else batch(small_variant("bert"), lengths)
        got = run(path, {key: array for key, array in arrays.items() if key in names})
        assert {*probes} <= got.keys()
        check(got, expected(params, config, numerics, arrays, (head,), probes))


def test_shared_layers_are_one_set_of_weights(tmp_path: Path) -> None:
    """Twelve times the layers take the same room."""
    sizes = []
    for layers in (1, 12):
        config = small_variant("albert", num_hidden_layers=layers)
        params = weights(config, ("pooler",))
        assert params.keys() == parameter_shapes(config, ("pooler",), num_labels=LABELS).keys()
        path = export(params, config, Numerics(), tmp_path / f"{layers}.onnx", heads=("pooler",))
        sizes.append(path.stat().st_size)
    assert sizes[1] - sizes[0] < 11 * 4 * sum(array.size for array in params.values()) / 2
