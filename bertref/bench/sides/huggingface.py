"""transformers on torch, with sdpa attention: as its users run it, on the same folder, the same batches and the device
of ours."""

import inspect
import math
from typing import Any

import numpy as np

from ...data.batch import IGNORED_LABEL, Batch
from ...data.pretraining.batch import PretrainingBatch
from ...optim import Optimizer, Schedule
from .. import classifying_inputs, finetuning_inputs, inputs
from ..gradient_norms import grouped_norms, squares
from ..job import Job
from . import STEP
from .libraries import library, quiet_transformers
from .ours import FEW


class _Model:
    """A class of transformers with the race's weights, and what it is: BERT's `architecture`, or that of the network
    whose model the folder holds."""

    units = (STEP,)

    def __init__(self, job: Job, architecture: str) -> None:
        self.torch = library("torch")
        transformers = quiet_transformers()
        from .torch_device import TorchDevice

        self.job, self.device = job, TorchDevice(job)
        kind = getattr(transformers, f"AutoModel{architecture.removeprefix('Bert').removeprefix('Model')}")
        self.model = kind.from_pretrained(
            job.model_folder, attn_implementation="sdpa", dtype=self.torch.float32, local_files_only=True
        ).to(self.device.name)
        self.names = inspect.signature(self.model.forward).parameters
        self.about: dict[str, Any] = {
            "name": "transformers", "version": transformers.__version__, "torch": self.torch.__version__,
            "attention": self.model.config._attn_implementation, "dtype": job.peer_dtype,
        }  # fmt: skip

    def answer(self, batch: dict[str, Any]) -> Any:
        """What the model makes of a batch on the host, of the fields that it reads."""
        return self.model(**self.device.placed({name: batch[name] for name in batch if name in self.names}))


class _TrainingSide(_Model):
    """A class that answers with its loss, with clipping, the faster AdamW and a linear schedule, one step a batch."""

    def __init__(
        self, job: Job, architecture: str, optimizer: Optimizer, schedule: Schedule, clip_norm: float
    ) -> None:
        super().__init__(job, architecture)
        from .torch_training import Trainer

        config, _ = inputs.architecture_of(job)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            self._require(name, getattr(config, name))
        self.trainer = Trainer(self.model, optimizer, schedule, clip_norm, self.device)
        self.batches, self.compared = self.made(config.vocab_size)
        self.model.train()

    def made(self, vocab_size: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The arguments of every batch of the job, on the host, and those of the one whose figures are compared."""
        raise NotImplementedError

    def _require(self, name: str, value: float) -> None:
        assert getattr(self.model.config, name) == value, f"{name} is {getattr(self.model.config, name)}, not {value}"

    def figures(self) -> dict[str, Any]:
        """As `ours.Pretraining.figures`, with dropout off."""
        self.model.eval()
        loss = self.trainer.gradients(lambda: self.answer(self.compared).loss)
        grads = [(name, p.grad.cpu().numpy()) for name, p in self.model.named_parameters() if p.grad is not None]
        found = {
            "loss": float(loss),
            "gradient norm": math.sqrt(sum(squares(grad) for _, grad in grads)),
            **grouped_norms(grads),
        }
        self.model.zero_grad(set_to_none=True)
        self.model.train()
        return found

    def run(self, unit: str) -> None:
        for batch in self.batches:
            self.trainer.step(lambda batch=batch: self.answer(batch).loss)  # type: ignore[misc]
        self.device.synchronize()
        self.about["optimizer"] = "AdamW " + " ".join(self.trainer.variant)


class PretrainingSide(_TrainingSide):
    """`BertForPreTraining`."""

    def __init__(self, job: Job) -> None:
        _, numerics = inputs.architecture_of(job)
        optimizer, clip_norm = Optimizer.from_numerics(numerics), inputs.options(job).clip_norm
        super().__init__(job, "BertForPreTraining", optimizer, inputs.peer_schedule(job), clip_norm)

    def made(self, vocab_size: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        batches = [self.device.on_host(arguments(b)) for b in inputs.pretraining_batches(self.job, vocab_size)]
        return batches, batches[0]


class FinetuningSide(_TrainingSide):
    """`BertForQuestionAnswering` or `BertForSequenceClassification`, each batch padded to its longest sequence.

    The loss of the former counts padding in the softmax over positions, ours doesn't: the figures are those of a batch
    without padding (`finetuning_inputs.compared_batch`), the timed work is done as each of the two does it.
    """

    def __init__(self, job: Job) -> None:
        options = finetuning_inputs.options(job)
        _, numerics = inputs.architecture_of(job)
        optimizer = Optimizer.from_numerics(numerics, kind="adamw", weight_decay=options.weight_decay)
        schedule = finetuning_inputs.peer_schedule(job)
        super().__init__(job, inputs.class_of(job), optimizer, schedule, options.clip_norm)

    def made(self, vocab_size: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        batches = [self.wide(batch) for batch in finetuning_inputs.batches(self.job, vocab_size)]
        return batches, self.wide(finetuning_inputs.compared_batch(self.job, vocab_size))

    def wide(self, batch: Batch) -> dict[str, Any]:
        """The arguments of a class with a task's head: a batch's fields have their names, but for the numbers."""
        return self.device.on_host({name: array.astype(np.int64) for name, array in batch.items() if name != "example"})


def arguments(batch: PretrainingBatch) -> dict[str, Any]:
    """The arguments of `BertForPreTraining` for a batch: labels at every position, ignored where none is masked."""
    labels = np.full(batch.input_ids.shape, IGNORED_LABEL, np.int64)
    rows, slots = np.nonzero(batch.masked_lm_weights)
    labels[rows, batch.masked_lm_positions[rows, slots]] = batch.masked_lm_ids[rows, slots]
    wide = {name: getattr(batch, name).astype(np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    return {**wide, "labels": labels, "next_sentence_label": batch.next_sentence_label.astype(np.int64)}


class EncodingSide(_Model):
    """`BertModel` on batches in file order, each padded to its longest sequence."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, "BertModel")
        self.model.eval()
        rows = inputs.rows(job, self.model.config.vocab_size)
        batches = (rows[i : i + job.batch_size] for i in range(0, len(rows), job.batch_size))
        self.batches = [self.device.on_host(inputs.padded(batch)) for batch in batches]

    def figures(self) -> dict[str, Any]:
        """As `ours.Encoding.figures`."""
        with self.torch.inference_mode():
            found = self.answer(self.batches[0]).last_hidden_state.cpu().numpy()
        return {f"vector of text {i + 1}": found[i, 0].tolist() for i in range(min(FEW, len(found)))}

    def run(self, unit: str) -> None:
        with self.torch.inference_mode(), self.device.autocast():
            for batch in self.batches:
                self.answer(batch).last_hidden_state.float().cpu().numpy()


class PredictionSide(_Model):
    """`BertForMaskedLM`, softmax and the five best at the masks, as the fill-mask pipeline does."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, "BertForMaskedLM")
        self.model.eval()
        rows = [inputs.with_a_mask(row) for row in inputs.rows(job, self.model.config.vocab_size)]
        batches = (rows[i : i + job.batch_size] for i in range(0, len(rows), job.batch_size))
        self.batches = [self.device.on_host(inputs.padded(batch)) for batch in batches]

    def best(self, batch: dict[str, Any]) -> Any:
        """(B, 5) probabilities."""
        where = self.torch.nonzero(batch["input_ids"] == inputs.MASK, as_tuple=True)
        logits = self.answer(batch).logits[where]
        return logits.float().softmax(-1).topk(5).values

    def figures(self) -> dict[str, Any]:
        """As `ours.Prediction.figures`."""
        with self.torch.inference_mode():
            found = self.best(self.batches[0])
        return {f"best of text {i + 1}": found[i].tolist() for i in range(min(FEW, len(found)))}

    def run(self, unit: str) -> None:
        with self.torch.inference_mode(), self.device.autocast():
            for batch in self.batches:
                self.best(batch).tolist()


class ClassificationSide(_Model):
    """`BertForSequenceClassification` from text: the fast tokenizer, batches in file order, each padded to its longest,
    and softmax, as the text-classification pipeline does."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, "BertForSequenceClassification")
        self.model.eval()
        self.tokenizer = quiet_transformers().AutoTokenizer.from_pretrained(job.model_folder, local_files_only=True)
        self.batches = classifying_inputs.batches(job)
        self.about["tokenizer"] = type(self.tokenizer).__name__

    def probabilities(self, texts: list[str]) -> Any:
        """(B, K)."""
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=self.job.seq_len, return_tensors="pt")
        return self.answer(batch).logits.float().softmax(-1)

    def figures(self) -> dict[str, Any]:
        """As `ours.ClassificationSide.figures`."""
        with self.torch.inference_mode():
            found = self.probabilities(self.batches[0])
        return {f"probabilities of text {i + 1}": found[i].tolist() for i in range(min(FEW, len(found)))}

    def run(self, unit: str) -> None:
        with self.torch.inference_mode(), self.device.autocast():
            for texts in self.batches:
                self.probabilities(texts).tolist()
