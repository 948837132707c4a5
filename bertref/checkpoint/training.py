"""Training state: everything that a resumed run needs to go on bit-equal.

A checkpoint is a model folder (`checkpoint-STEP`) with the optimiser's moments and a few numbers beside it:

    training_state.safetensors    NAME/m and NAME/v, or what else the optimiser keeps of each parameter
    training_state.json           format version, step, loss scale; since version 2 how many instances each pass had;
                                  how many processes trained, where it was more than one

The order of the data, masks and dropout are functions of the seed and the step and need no state. How many instances a
pass over the text has can be counted again, but takes a pass to count; and it shows whether the text has changed. The
folder is written under another name and renamed, so a checkpoint that can be seen is complete.
"""

import json
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import CheckpointError, InputError
from ..plumbing.files import write_file, write_folder
from . import tensors
from .folder import read_weights_back, save_weights
from .names import DECODER_BIAS

FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)
STATE = "training_state.json"
MOMENTS = "training_state.safetensors"
_NAME = re.compile(r"checkpoint-(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class TrainingState:
    """Host arrays: master weights, moments; `step` updates are done; `loss_scale` is its JSON form or None;
    `pass_counts` are the numbers of instances of the passes counted so far (`PretrainingData.pass_counts`);
    `processes` trained it."""

    params: dict[str, npt.NDArray[Any]]
    moments: dict[str, npt.NDArray[Any]]
    step: int
    loss_scale: dict[str, Any] | None
    pass_counts: tuple[int, ...] = ()
    processes: int = 1


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first."""
    found = [(int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def save(folder: Path, state: TrainingState, describe: Callable[[Path], None], *, keep: int) -> Path:
    """Writes `folder/checkpoint-STEP`, then removes all but the last `keep`; `describe` adds config and vocabulary.

    Raises `CheckpointError` if it can't be written; the earlier checkpoints are untouched then.
    """
    path = folder / f"checkpoint-{state.step}"
    if path.exists():
        return path  # the run is deterministic: it holds the same bits

    def fill(temporary: Path) -> None:
        describe(temporary)
        save_weights(temporary, state.params)
        save_state(temporary, state.moments, state.step, state.loss_scale, state.pass_counts, state.processes)

    try:
        write_folder(path, fill)
    except InputError as error:
        last = latest(folder)
        there = f"go on from {last}" if last else "begin again, because no checkpoint is there yet"
        raise CheckpointError(f"{error}; then add --resume to {there}") from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def save_state(
    folder: Path,
    moments: dict[str, npt.NDArray[Any]],
    step: int,
    loss_scale: dict[str, Any] | None = None,
    pass_counts: Sequence[int] = (),
    processes: int = 1,
) -> None:
    """Writes the optimiser's state beside a model's weights."""
    summary = {
        "format": "bertref-training-state", "version": FORMAT_VERSION, "step": step, "loss_scale": loss_scale,
        "pass_counts": list(pass_counts), **({"processes": processes} if processes > 1 else {}),
    }  # fmt: skip
    write_file(folder / MOMENTS, tensors.to_bytes(moments))
    write_file(folder / STATE, (json.dumps(summary, indent=2) + "\n").encode())


def load(path: Path, kinds: Collection[str] | None = None) -> TrainingState:
    """Reads a checkpoint. `kinds` are the moments that each parameter must have; None: whatever they are, all the same.

    Raises `CheckpointError` that says which file is missing or damaged and what to do.
    """
    state_file = path / STATE
    advice = _advice(path)
    try:
        summary = json.loads(state_file.read_text(encoding="utf-8"))
        version, step, scale = summary["version"], int(summary["step"]), summary["loss_scale"]
        counts = tuple(summary["pass_counts"]) if version != 1 else ()
        processes = int(summary.get("processes", 1))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{state_file}: is missing or damaged ({error}); {advice}") from None
    if version not in READ_VERSIONS:
        raise CheckpointError(
            f"{state_file}: format version {version}; this bertref reads versions {', '.join(map(str, READ_VERSIONS))}"
        )
    if not all(type(count) is int and count > 0 for count in counts):
        raise CheckpointError(f"{state_file}: pass_counts must be a list of whole numbers from 1; {advice}")
    try:
        params, moments = read_weights_back(path), tensors.read(path / MOMENTS)
    except CheckpointError as error:
        raise CheckpointError(f"{error}\n{advice}") from None
    params.pop(DECODER_BIAS, None)  # Hugging Face's copy, which a decoder of its own brings along (`save_weights`)
    kinds = kinds or {name.rpartition("/")[2] for name in moments}
    if not moments or set(moments) != {f"{name}/{kind}" for name in params for kind in kinds}:
        raise CheckpointError(f"{path / MOMENTS}: does not hold the moments of the parameters; {advice}")
    return TrainingState(params, moments, step, scale, counts, processes)


def _advice(path: Path) -> str:
    """What to do about a damaged checkpoint."""
    among = checkpoints(path.parent)
    if path not in among:
        return "use another one"
    before = among[: among.index(path)]
    if before:
        return f"remove {path} to resume from {before[-1]}"
    return f"no checkpoint is before it: remove {path} to begin again with --resume, or choose another --out"


def latest(folder: Path) -> Path | None:
    """The newest checkpoint; None if there is none."""
    found = checkpoints(folder)
    return found[-1] if found else None
