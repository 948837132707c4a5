"""The same fine-tuning by transformers: its head, torch's autograd and AdamW, the same weights and batches.

    python -m tests.train.finetuning.peer TASK DATA --model MODEL --out DIR [--dropout P] [--seed N] [--epochs N] ...

trains a model with transformers into DIR, as `bertref finetune` does with the same options, and prints one JSON line:
the metrics of its last step on the part that the run is evaluated on, and the seconds. With `--against DIR` (a run of
`bertref finetune`) also the share of the examples on which the two models' predictions agree. Both models are asked by
bertref's evaluation; that a saved model's logits are those of transformers is tested elsewhere.

`--micro-batch N` gives transformers each batch in parts of N examples of like length, so that it computes less padding:
the gradients are those of the whole batch (but for dropout's draws, and for padded positions, which its loss of
question answering counts). For losses that are means over a batch's examples.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import bertref
from bertref.config import config_to_dict
from bertref.evaluation import Evaluation, evaluate_part
from bertref.train.finetuning.options import FinetuneOptions
from bertref.train.finetuning.setup import FinetuneSetup, basis_of, set_up
from bertref.train.report import silent
from bertref.train.start import starting_params

CLASSES = {
    "sequence_classification": "BertForSequenceClassification", "token_classification": "BertForTokenClassification",
    "multiple_choice": "BertForMultipleChoice", "question_answering": "BertForQuestionAnswering",
}  # fmt: skip
SAVE_EVERY = 50
"""Steps."""


def model_of(setup: FinetuneSetup) -> Any:
    """Transformers' model with the weights that the run begins with."""
    basis = setup.basis
    assert basis.model is not None
    labels = 2 if basis.kind.head == "question_answering" else max(len(setup.labels), 1)
    config = transformers.BertConfig(
        **config_to_dict(basis.config, basis.numerics), num_labels=labels, problem_type=basis.kind.problem
    )
    model = getattr(transformers, CLASSES[basis.kind.head])(config)
    params = starting_params(basis.model, setup.shapes, setup.recipe.seed)
    own = {name: torch.tensor(np.asarray(array, np.float32)) for name, array in params.items()}
    assert not any(model.load_state_dict(own, strict=False))
    return model.train()


def optimizer_of(model: Any, setup: FinetuneSetup) -> torch.optim.AdamW:
    """torch's AdamW, with the decay where ours has it."""
    rule = setup.recipe.optimizer
    groups = [
        {"params": [p for n, p in model.named_parameters() if rule.decays(n) is decays],
         "weight_decay": rule.weight_decay if decays else 0.0}
        for decays in (True, False)
    ]  # fmt: skip
    return torch.optim.AdamW(groups, lr=setup.recipe.schedule.peak, betas=rule.betas, eps=rule.epsilon)


def arguments(batch: Any) -> dict[str, torch.Tensor]:
    given = {name: torch.tensor(array) for name, array in batch.items() if name != "example"}
    return {name: value.float() if value.is_floating_point() else value.long() for name, value in given.items()}


def parts_of(batch: dict[str, torch.Tensor], size: int) -> list[dict[str, torch.Tensor]]:
    """The batch in parts of `size` examples, sorted by length, each cut at its own longest example."""
    lengths, padded = batch["attention_mask"].sum(1), batch["attention_mask"].shape[1]
    parts = []
    for rows in torch.argsort(lengths).split(size):
        longest = int(lengths[rows].max())
        parts.append({name: value[rows, :longest] if value.shape[1:] == (padded,) else value[rows]
                      for name, value in batch.items()})  # fmt: skip
    return parts


def _keep(path: Path, parts: dict[str, Any], step: int, seconds: float) -> None:
    """A run's state before a step, from which the same command goes on if it was stopped."""
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({**states, "step": step, "seconds": seconds, "rng": torch.get_rng_state()}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _restored(path: Path, parts: dict[str, Any]) -> tuple[int, float]:
    """Puts a kept state into the parts; the step and the seconds it was kept at."""
    found = torch.load(path)
    for name, part in parts.items():
        part.load_state_dict(found[name])
    torch.set_rng_state(found["rng"])
    return found["step"], found["seconds"]


def train(options: FinetuneOptions, micro_batch: int | None = None) -> tuple[FinetuneSetup, float]:
    """Trains with transformers into `options.out`; what was set up, and the seconds of training."""
    setup = set_up(basis_of(options, Path(options.out)), silent)
    model = model_of(setup)
    torch.manual_seed(options.seed)
    optimizer = optimizer_of(model, setup)
    schedule = transformers.get_linear_schedule_with_warmup(
        optimizer, setup.recipe.schedule.warmup_steps, setup.recipe.schedule.steps
    )
    kept = Path(options.out) / "state.pt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    first, before = _restored(kept, parts) if kept.exists() else (0, 0.0)
    start = time.perf_counter() - before
    for step in range(first, setup.steps):
        if step % SAVE_EVERY == 0 and step > first:
            _keep(kept, parts, step, time.perf_counter() - start)
        batch = arguments(setup.features.batch(setup.store, setup.order.batch(step)))
        optimizer.zero_grad()
        for part in parts_of(batch, micro_batch) if micro_batch else [batch]:
            (model(**part).loss * (len(part["input_ids"]) / len(batch["input_ids"]))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), setup.recipe.clip_norm)
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start
    kept.unlink(missing_ok=True)
    if setup.labels:
        model.config.id2label = dict(enumerate(setup.labels))
        model.config.label2id = {label: i for i, label in enumerate(setup.labels)}
    model.save_pretrained(options.out)
    setup.basis.tokenizer.save_pretrained(options.out)
    return setup, seconds


def evaluated(setup: FinetuneSetup, folder: str | Path) -> Evaluation:
    """A saved model on the part that the run is evaluated on."""
    part = next(iter(setup.evaluated.values()))
    return evaluate_part(bertref.load(folder, freeze=False), setup.basis.info.kind, part, setup.settings)


def agreement(ours: Evaluation, theirs: Evaluation) -> float:
    """The share of examples with the same prediction; of numbers, those within a hundredth of their range."""
    a, b = (_predictions(side) for side in (ours, theirs))
    if ours.kind == "regression":
        return float(np.mean(np.abs(a - b) <= 0.01 * np.ptp(b)))
    return float(np.mean(a == b))


def _predictions(evaluation: Evaluation) -> Any:
    """Those of the examples in their order; of questions they have names."""
    found = evaluation.answers.predictions
    return np.asarray(list(found.values()) if isinstance(found, dict) else found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("data")
    for name in ("model", "out", "dev", "against"):
        parser.add_argument(f"--{name}")
    for name in ("seed", "max-length", "max-examples", "max-dev-examples", "batch-size", "micro-batch"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("epochs", "dropout", "learning-rate", "held-out"):
        parser.add_argument(f"--{name}", type=float)
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    against = given.pop("against", None)
    micro_batch = given.pop("micro_batch", None)
    setup, seconds = train(replace(FinetuneOptions(model="-", data="-"), **given), micro_batch)
    theirs = evaluated(setup, given["out"])
    found: dict[str, Any] = {"seconds": seconds, **{name: value.value for name, value in theirs.metrics.items()}}
    if against:
        ours = evaluated(setup, against)
        found |= {"agreement": agreement(ours, theirs),
                  "ours": {name: value.value for name, value in ours.metrics.items()}}  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
