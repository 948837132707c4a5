"""A race: both sides in processes of their own, checked against each other, then timed in turn.

    1  the model or the text is written where both sides read it
    2  each side sets itself up in its own process, with all threads
    3  both answer with figures, dropout off; if they don't agree nothing is timed
    4  each side does the work once to warm up
    5  round by round each side does the work, alternating which goes first, while the other waits
"""

import contextlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..heads import HEADS
from ..precision import canonical
from . import agreement, classifying_inputs, flops, inputs, memory, roofline, statistics
from .group import ProcessGroup
from .job import HALVES, PRETRAINING, TEXT_COMMANDS, Job
from .lengths import ragged
from .machine import machine

SCHEMA = 1

TURN = 0.2
"""Seconds that a turn takes at least: shorter work is repeated within it."""

RAGGED_BATCHES = 4
"""Batches of ragged input that are one piece of work, so that chance does not decide how long they are."""

Report = Callable[[str], None]
"""Told in words what is going on."""


def silent(text: str) -> None:
    """The report of nobody."""


def with_lengths(job: Job) -> Job:
    """The job with its sequences: one batch of full ones, or `RAGGED_BATCHES` of a mix or of a file's texts."""
    if job.ragged is None:
        return replace(job, lengths=(job.seq_len,) * job.batch_size)
    count = job.batch_size * RAGGED_BATCHES
    if job.from_text:
        return classifying_inputs.with_texts(job, count)
    return replace(job, lengths=ragged(job.ragged, count, job.seq_len, job.seed, job.vocab))


@contextlib.contextmanager
def arena(job: Job, report: Report = silent) -> Iterator[Path]:
    """A temporary folder with what both sides read."""
    with tempfile.TemporaryDirectory(prefix="bertref-bench-") as name:
        folder = Path(name)
        if job.command in TEXT_COMMANDS:
            report("choosing the vocabulary")
            _write_vocabulary(folder, job)
        elif job.command != "ops" and not job.from_text:
            report("writing the model that both sides read")
            inputs.write_model(folder / "model", job)
        yield folder


def race(
    job: Job,
    peer: str | None = None,
    *,
    repeat: int = 5,
    with_roofline: bool = False,
    with_memory: bool = False,
    report: Report = silent,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Ours at a job, and a peer at the same (None: ours alone); plain values, as `bertref bench --json` prints them.

    `folder` is an arena that is there already. Raises `InputError` if the sides do not agree, `BackendUnavailable` if
    the peer's library is missing or a process dies.
    """
    own = job.of("ours")
    theirs = None if peer is None else job.of(peer)
    if not job.lengths and job.command not in TEXT_COMMANDS:
        own, theirs = with_lengths(own), theirs and with_lengths(theirs)
    if job.command not in TEXT_COMMANDS:
        inputs.architecture_of(own)
    found = machine(job.threads)
    roof = None
    with contextlib.ExitStack() as stack:
        if with_roofline:
            report("measuring the machine's product speed")
            roof = roofline.Roof(stack, own, peer, roofline.SIZE)
        place = str(folder or stack.enter_context(arena(own, report)))
        sides = [_Contestant(stack, replace(own, folder=place), "bertref", report)]
        if theirs:
            sides.append(_Contestant(stack, replace(theirs, folder=place), theirs.side, report))
        agreed = _agree(sides, report) if theirs else None
        rounds, roofs = _rounds(sides, repeat, report, roof)
        results = [_side_result(side, times, own) for side, times in zip(sides, rounds, strict=True)]
        peaks = [side.peak() for side in sides] if with_memory else None
    totals = [_totals(times) for times in rounds]
    result: dict[str, Any] = {
        "schema": SCHEMA, "command": job.command, "input": _input(own), "machine": found,
        "ours": results[0], "peer": results[1] if theirs else None,
        "ratio": statistics.ratio(*totals) if theirs else None,
        "agreement": agreed,
        "roofline": _share(roof, roofs, own, rounds) if roof else None,
        "memory": _memory(own, sides, peaks) if peaks else None,
    }  # fmt: skip
    if job.command == "ops":
        result["ops"] = _by_op(rounds)
    return result


class _Contestant:
    """A side in its process, or its processes, set up."""

    def __init__(self, stack: contextlib.ExitStack, job: Job, name: str, report: Report) -> None:
        self.job, self.name = job, name
        report(f"{name}: getting ready")
        self.group = stack.enter_context(ProcessGroup(name, job.processes, job.threads))
        self.baseline = sum(int(answer["now"]) for answer in self.group.ask("forget_peak"))
        ready = self.group.ask("set_up", job=job.to_json())[0]
        self.about, self.units = ready["about"], ready["units"]

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = self.group.ask("figures")[0]["figures"]
        return found

    def run(self, unit: str, times: int) -> float:
        return max(float(answer["seconds"]) for answer in self.group.ask("run", unit=unit, times=times))

    def peak(self) -> dict[str, int]:
        """The most bytes that its processes held, each at its own moment: "peak", and "device" on a GPU."""
        answers = self.group.ask("memory")
        return {name: sum(int(each[name]) for each in answers) for name in ("peak", "device") if name in answers[0]}


def _agree(sides: list[_Contestant], report: Report) -> dict[str, Any]:
    report("do both compute the same?")
    ours, peer = sides
    limit = agreement.HALF_LIMIT if canonical(ours.job.dtype) in HALVES else agreement.LIMIT
    exact = ours.job.command in TEXT_COMMANDS
    found = agreement.check(ours.figures(), peer.figures(), peer.name, 0.0 if exact else limit)
    worst = max(found, key=lambda figure: found[figure])
    return {"limit": 0.0 if exact else limit, "figures": len(found), "worst": worst, "difference": found[worst]}


Times = dict[str, list[float]]
"""Unit -> seconds of each round."""


def _rounds(
    sides: list[_Contestant], repeat: int, report: Report, roof: roofline.Roof | None = None
) -> tuple[list[Times], list[float]]:
    """The seconds of every side, unit and round; the roof before the first round and after each, if there is one."""
    units = sides[0].units
    found: list[Times] = [{unit: [] for unit in units} for _ in sides]
    roofs = []
    for unit in units:
        what = "" if len(units) == 1 else f"{unit}, "
        report(f"{what}warming up")
        loops = []
        for side in sides:
            side.run(unit, 1)  # the first time pays for what is made once
            loops.append(max(1, math.ceil(TURN / max(side.run(unit, 1), 1e-7))))
        for side in sides:
            side.group.ask("forget_peak")
        if roof:
            roofs.append(roof.flops())
        for number in range(repeat):
            left = sum(loops[i] * found[i][unit][-1] for i in range(len(sides))) * (repeat - number) if number else 0.0
            report(f"{what}round {number + 1} of {repeat}" + (f", about {left:.0f} s left" if left > 1 else ""))
            order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
            for i in order:
                found[i][unit].append(sides[i].run(unit, loops[i]))
            if roof:
                roofs.append(roof.flops())
    return found, roofs


def _totals(times: Times) -> list[float]:
    """Seconds of each round, all units together."""
    return [sum(column) for column in zip(*times.values(), strict=True)]


def _side_result(side: _Contestant, times: Times, job: Job) -> dict[str, Any]:
    about = side.group.ask("about")[0]["about"]
    totals = _totals(times)
    seconds = statistics.summary(totals)
    tokens = sum(job.lengths) or about.get("tokens")
    rate = {"tokens_per_second": tokens / seconds["median"]} if tokens and job.command != "ops" else {}
    return {**about, "seconds": seconds, "times": totals, **rate}


def _input(job: Job) -> dict[str, Any]:
    if job.command in TEXT_COMMANDS:
        return {"corpus": list(job.corpus) or "pydoc_data.topics", "vocab": job.vocab}
    return {
        "config": job.model or job.config, "batch_size": job.batch_size, "seq_len": job.seq_len,
        "sequences": len(job.lengths), "tokens": sum(job.lengths), "shortest": min(job.lengths),
        "longest": max(job.lengths), "ragged": job.ragged,
        "task": "sequence-classification" if job.from_text else job.task if job.command == "finetune" else None,
        "dropout": job.dropout if job.command in (*PRETRAINING, "finetune", "ops") else 0.0,
        "masked_positions": inputs.options(job).predictions if job.command in PRETRAINING else None,
    }  # fmt: skip


def work(job: Job) -> int | None:
    """Floating-point operations of one piece of work (see `flops`); None for `ops`, whose units are many."""
    config, _ = inputs.architecture_of(job)
    if job.command in PRETRAINING:
        batches = inputs.pretraining_batches(job, config.vocab_size)
        positions = int(sum(batch.masked_lm_weights.sum() for batch in batches))
        return flops.training_step(config, job.lengths, positions)
    if job.command == "finetune":
        (head,) = inputs.heads_of(job)
        return flops.finetuning_step(config, job.lengths, HEADS[head])
    if job.command == "encode" or job.from_text:  # a classifier's own 2 B H K are too few to count
        return flops.encoder(config, job.lengths)
    if job.command == "predict":
        return flops.encoder(config, job.lengths) + flops.masked_lm(config, len(job.lengths))
    return None


def _share(roof: roofline.Roof, roofs: list[float], job: Job, rounds: list[Times]) -> dict[str, Any]:
    """The roof, the work, and the share of the roof that each side reached: in each round of the roof around it."""
    amount = None if job.command in TEXT_COMMANDS else work(job)
    around = [(before + after) / 2 for before, after in itertools.pairwise(roofs)]
    shares = [
        statistics.summary([amount / s / flops for s, flops in zip(_totals(times), around, strict=True)])
        for times in rounds
        if amount
    ]
    return {
        **roof.about, "flops": statistics.summary(roofs)["median"], "work": amount,
        "share": shares[0]["median"] if shares else None,
        "share_min": shares[0]["min"] if shares else None, "share_max": shares[0]["max"] if shares else None,
        "peer_share": shares[1]["median"] if len(shares) > 1 else None,
    }  # fmt: skip


def _memory(job: Job, sides: list[_Contestant], peaks: list[dict[str, int]]) -> dict[str, Any]:
    """Bytes: what the shapes say that ours needs above an empty process, and what each process held at most; on a GPU
    what each held there."""
    needed = memory.predicted(job)
    where = "device" if "device" in peaks[0] else "host"
    held = [peak["peak" if where == "host" else "device"] for peak in peaks]
    return {
        "where": where, "predicted": None if needed is None else sides[0].baseline + needed, "measured": held[0],
        "peer": held[1] if len(held) > 1 else None, "ratio": held[0] / held[1] if len(held) > 1 else None,
    }  # fmt: skip


def _by_op(rounds: list[Times]) -> list[dict[str, Any]]:
    """One row for each op."""
    rows = []
    for unit, times in rounds[0].items():
        row: dict[str, Any] = {"op": unit, "ours": statistics.summary(times), "peer": None, "ratio": None}
        if len(rounds) > 1:
            row["peer"] = statistics.summary(rounds[1][unit])
            row["ratio"] = statistics.ratio(times, rounds[1][unit])
        rows.append(row)
    return rows


def _write_vocabulary(folder: Path, job: Job) -> None:
    """The vocabulary that was given, or one trained on the corpus, as `vocab.txt`."""
    from ..text import load_vocab, train_vocab
    from .sides.ours_text import documents

    if job.vocab:
        vocab = load_vocab(job.vocab)
    else:
        vocab = train_vocab((sentence for document in documents(job) for sentence in document.sentences), 4096)
    vocab.save(folder / "vocab.txt")
