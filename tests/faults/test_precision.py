"""Mixed precision, the place of attention's factor, and an optimiser with one moment: what pre-training does."""

import json
from pathlib import Path

import pytest

from bertref import PretrainOptions, pretrain, verify

from .asking import bertref

CONFIG = {
    "vocab_size": 120, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 32, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
KEYS = {"initializer_range", "bertref_numerics"}
TEXT = "\n\n".join(
    "\n".join(f"The {who} {does} {what} number {i} ." for i, what in enumerate(("the boat", "a lamp", "two letters")))
    for who in ("sailor", "keeper", "writer", "farmer") for does in ("finds", "loses")
)  # fmt: skip


def options(folder: Path, out: str, **changes: object) -> PretrainOptions:
    """A run of three steps; what is a key of the config goes there."""
    config = {**CONFIG, **{name: value for name, value in changes.items() if name in KEYS}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    given = {name: value for name, value in changes.items() if name not in KEYS}
    return PretrainOptions(**{
        "corpus": (str(folder / "text.txt"),), "config": str(folder / "config.json"), "out": str(folder / out),
        "steps": 3, "batch_size": 4, "seq_len": 16, "vocab_size": 120, "eval_on": "none", "log_every": 1,
        "learning_rate": 0.01, "warmup_steps": 0, **given,
    })  # fmt: skip


def losses(folder: Path, out: str, **changes: object) -> list[float]:
    return [loss for _, loss in pretrain(options(folder, out, **changes)).curve]


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_mixed_precision_is_not_half_precision(tmp_path: Path, half: str) -> None:
    """It is nearer to float32, because only products are rounded."""
    names = (f"mixed_{half}", half, "float32")
    mixed, plain, exact = (losses(tmp_path, name, backend="torch", precision=name) for name in names)
    assert mixed != plain
    assert mixed != exact
    assert sum(abs(m - e) for m, e in zip(mixed, exact, strict=True)) < sum(
        abs(p - e) for p, e in zip(plain, exact, strict=True)
    )


def test_mixed_precision_is_written_as_verify_writes_it(tmp_path: Path) -> None:
    """And the other spelling means the same, in run.json as well: a run that was started with it goes on."""
    names = ("mixed-bfloat16", "mixed_bfloat16")
    new, old = (losses(tmp_path, name, backend="torch", precision=name) for name in names)
    assert new == old
    record = tmp_path / "mixed_bfloat16" / "run.json"
    record.write_text(record.read_text(encoding="utf-8").replace("mixed-bfloat16", "mixed_bfloat16"), encoding="utf-8")
    again = options(tmp_path, "mixed_bfloat16", backend="torch", precision="mixed-bfloat16", resume=True)
    assert pretrain(again).status == "already finished"


def test_verify_judges_our_own_mixed_precision() -> None:
    report = verify.check("torch:dtype=mixed-bfloat16", seed=1)
    assert (report.verdict, report.precision) == ("right", "mixed-bfloat16")


def test_attentions_factor_is_where_the_dialect_wants_it(tmp_path: Path) -> None:
    """The two places round differently in heads of 12, whose factor is no power of two; large weights make it show."""
    after, query = (
        losses(tmp_path, place, initializer_range=0.3, bertref_numerics={"scale_scores": place})
        for place in ("after", "query")
    )
    assert after != query
    assert after == pytest.approx(query, rel=1e-4)


def test_lion_learns_and_keeps_one_moment(tmp_path: Path) -> None:
    given = options(tmp_path, "out")
    done = bertref(
        "pretrain", *given.corpus, "--config", given.config, "--out", given.out, "--steps", "3", "--seq-len", "16",
        "--eval-on", "none", "--optimizer", "lion", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["optimizer"] for event in events if event["event"] == "start"] == ["lion"]
    with open(tmp_path / "out" / "checkpoint-3" / "training_state.safetensors", "rb") as file:
        names = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert {name.rpartition("/")[2] for name in names if name != "__metadata__"} == {"m"}


def test_lion_can_not_be_judged() -> None:
    """Where rounding decides a sign, a right update is off by as much as a wrong one: it is said, not guessed."""
    done = bertref("verify", "numpy", "--optimizer", "lion")
    assert done.returncode == 2
    assert "an update by lion can't be judged" in done.stderr
