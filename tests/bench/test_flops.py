"""The formulas against a count of every product that the model makes."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bertref import backends, model
from bertref.bench import Job, finetuning_inputs, flops, inputs
from bertref.config import BertConfig, Numerics
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.heads import HEADS
from bertref.init import initial_parameters
from bertref.layers import Settings
from bertref.layout import inputs as layout_inputs
from bertref.objectives import ClassificationObjective, PretrainingObjective, SpanObjective, losses_and_gradients
from bertref.opset import OpSet
from tests.bench import small

SIZES = [
    BertConfig(vocab_size=50, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=20),
    BertConfig(vocab_size=31, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=40),
]


@dataclass
class Counting:
    """NumPy's namespace, with the operations of its products added up."""

    xp: Any = field(default_factory=lambda: backends.get("numpy").xp)
    flops: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.xp, name)

    def matmul(self, a: Any, b: Any) -> Any:
        found = self.xp.matmul(a, b)
        self.flops += 2 * found.size * a.shape[-1]
        return found


def ops(xp: Counting) -> OpSet:
    return OpSet(SimpleNamespace(xp=xp, kernels={}))  # type: ignore[arg-type]


def batch(config: BertConfig, rows: int, length: int, masked: int) -> PretrainingBatch:
    random = np.random.default_rng(3)
    ids = random.integers(0, config.vocab_size, (rows, length), dtype=np.int32)
    places = np.tile(np.arange(1, 1 + masked, dtype=np.int32), (rows, 1))
    return PretrainingBatch(
        input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids), masked_lm_positions=places,
        masked_lm_ids=np.take_along_axis(ids, places, axis=1), masked_lm_weights=np.ones(places.shape, np.float32),
        next_sentence_label=np.zeros(rows, np.int32), example=np.arange(rows),
    )  # fmt: skip


@pytest.mark.parametrize("config", SIZES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_training_step(config: BertConfig, packed: bool) -> None:
    xp, numerics = Counting(), Numerics()
    params = initial_parameters(config, numerics, 1)
    settings = Settings(config, numerics)
    losses_and_gradients(PretrainingObjective(), ops(xp), params, batch(config, 4, 9, 2), settings, packed=packed)
    assert xp.flops == flops.training_step(config, [9] * 4, 8)


@pytest.mark.parametrize("config", SIZES)
@pytest.mark.parametrize("mix", ["imdb", "squad"])
def test_a_step_of_finetuning(config: BertConfig, mix: str) -> None:
    xp, numerics = Counting(), Numerics()
    job = Job("finetune", ragged=mix, lengths=(9,) * 4)
    (name,) = inputs.heads_of(job)
    params = initial_parameters(config, numerics, 1, heads=(name,))
    objective = SpanObjective() if mix == "squad" else ClassificationObjective()
    (batch,) = finetuning_inputs.batches(job, config.vocab_size)
    losses_and_gradients(objective, ops(xp), params, batch, Settings(config, numerics), packed=True)
    assert xp.flops == flops.finetuning_step(config, [9] * 4, HEADS[name])


@pytest.mark.parametrize("config", SIZES)
@pytest.mark.parametrize("heads", [(), ("pooler",)])
def test_the_encoder(config: BertConfig, heads: tuple[str, ...]) -> None:
    xp, numerics = Counting(), Numerics()
    params = initial_parameters(config, numerics, 1, heads=heads)
    x = layout_inputs(xp, np.ones((2, 7), np.int64))  # type: ignore[arg-type]
    model.forward(ops(xp), params, x, Settings(config, numerics))
    assert xp.flops == flops.encoder(config, [7, 7], pooler=bool(heads))


def test_ragged_sequences_count_their_own_tokens_only() -> None:
    """Packed rows and sequences by themselves: the sum over the sequences, whatever lies beside them."""
    config = SIZES[0]
    assert flops.encoder(config, [5, 9]) == flops.encoder(config, [5]) + flops.encoder(config, [9])
    assert flops.training_step(config, [5, 9], 3) < flops.training_step(config, [9, 9], 3)


def test_base_is_what_is_known_of_it(tmp_path: Any) -> None:
    """6 operations a weight of the layers and token, a well-known rule of thumb, and attention's few per cent."""
    config = BertConfig.preset("base")
    weights = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    encoder = 3 * flops.encoder(config, [128] * 32, pooler=False)
    assert encoder == pytest.approx(6 * weights * 32 * 128, rel=0.04)


def test_the_work_of_a_job_counts_its_masked_positions(tmp_path: Any) -> None:
    from bertref.bench.race import work

    job = small.job(tmp_path)
    config, _ = inputs.architecture_of(job)
    assert work(job) == flops.training_step(config, [12] * 3, 3 * inputs.options(job).predictions)
    spans = HEADS["question_answering"]
    assert work(replace(job, command="finetune", ragged="squad")) == flops.finetuning_step(config, [12] * 3, spans)
