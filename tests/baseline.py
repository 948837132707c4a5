"""What the package computes, as digests, so that a change which should change no number can prove it.

    python -m tests.baseline record FILE [PART...]     in a checkout: writes what its bertref computes
    python -m tests.baseline compare FILE FILE         names every value that differs; exit code 1 if there is one

Parts: training (50 steps on NumPy with and without kernels, on torch), outputs (features, ONNX), mistakes (the reports
of the catalogue), right (the reports of 50 right cases). Times, paths and versions are left out. To record an older
commit, copy this file into its checkout: apart from tests' own names it uses the command line only.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CONFIG = {
    "vocab_size": 1024, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
    "max_position_embeddings": 64, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip
RUNS = {
    "numpy": ["--backend", "numpy"],
    "numpy-packed": ["--backend", "numpy", "--layout", "packed", "--accumulate", "2"],
    "numpy-without-kernels": ["--backend", "numpy", "--kernels", "off"],
    "numpy-google": ["--dialect", "google", "--recompute", "layers"],
    "numpy-lamb": ["--optimizer", "lamb", "--recompute", "attention", "--precision", "float64"],
    "torch": ["--backend", "torch"],
    "torch-bfloat16": ["--backend", "torch", "--precision", "bfloat16"],
}
TEXTS = "The statement raises an exception.\nA function is called with its arguments, or without.\nNone\n"
FLEETING = ("seconds", "replay", "version", "advice", "files")


def bertref(*arguments: str | Path, cwd: Path) -> None:
    """The command line of the checkout that this process was started in."""
    command = [sys.executable, "-c", "from bertref.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bertref {' '.join(map(str, arguments))}: {done.stderr}")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def training() -> dict[str, str]:
    """Weights and training state after 50 steps, for every run."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
        for run, options in RUNS.items():
            bertref(
                "pretrain", "--config", "config.json", "--vocab-size", "1024", "--steps", "50", "--batch-size", "8",
                "--seq-len", "48", "--eval-batches", "4", "--log-every", "7", "--save-every", "25", "--out", run,
                *options, cwd=folder,
            )  # fmt: skip
            for file in ("model.safetensors", "checkpoint-25/training_state.safetensors"):
                found[f"{run}/{file}"] = digest(folder / run / file)
    return found


def outputs() -> dict[str, str]:
    """Features and ONNX graphs of a model after 20 steps."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bertref("pretrain", "--steps", "20", "--eval-on", "none", "--out", "model", cwd=folder)
        (folder / "texts.txt").write_text(TEXTS, encoding="utf-8")
        bertref("features", "--model", "model", "--file", "texts.txt", "--layers", "-1,-2", "--out", "features.jsonl",
                cwd=folder)  # fmt: skip
        bertref("convert", "model", "model.onnx", cwd=folder)
        for file in ("model/model.safetensors", "model/config.json", "features.jsonl", "model.onnx"):
            found[file] = digest(folder / file)
    return found


def lasting(report: Any, folder: str = "") -> str:
    """A report's digest without what differs from run to run; files of the subject lie in `folder`."""
    from bertref.verify.report.to_json import to_dict

    values = {key: value for key, value in to_dict(report).items() if key not in FLEETING}
    text = json.dumps(values, sort_keys=True)
    if folder:
        text = text.replace(folder, "FOLDER")
    return hashlib.sha256(text.encode()).hexdigest()[:32] + f" {report.first}"


def mistakes() -> dict[str, str]:
    import torch

    from tests.verify.mistakes import MISTAKES
    from tests.verify.mistakes.measure import measure_all

    torch.manual_seed(0)  # one of the mistakes leaves dropout on
    return {f"{o.mistake.name}/{o.dtype}": lasting(o.report) for o in measure_all(MISTAKES)}


def right() -> dict[str, str]:
    from tests.verify.subjects import test_no_false_alarm as cases

    found = {}
    with tempfile.TemporaryDirectory() as name:
        for i in range(50):
            implementation, seed = cases.IMPLEMENTATIONS[i % len(cases.IMPLEMENTATIONS)], cases.FIRST_SEED + i
            case = cases.random_case(seed)
            subject = cases.subject_of(implementation, case, Path(name))
            found[f"{implementation}/{seed}"] = lasting(cases.check(subject, case, repeat=False), name)
    return found


PARTS: dict[str, Callable[[], dict[str, str]]] = {
    "training": training, "outputs": outputs, "mistakes": mistakes, "right": right,
}  # fmt: skip


def record(path: Path, names: list[str]) -> None:
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["BERTREF_CACHE"] = cache
        for name in names or list(PARTS):
            found[name] = PARTS[name]()
            path.write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
            print(f"{name}: {len(found[name])} values", flush=True)


def differences(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> Iterator[str]:
    """Of the parts that both have."""
    for part in before.keys() & after.keys():
        for key in sorted(before[part].keys() | after[part].keys()):
            old, new = before[part].get(key), after[part].get(key)
            if old != new:
                yield f"{part}: {key}: {old} -> {new}"


def compare(first: Path, second: Path) -> int:
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (first, second))
    found = list(differences(before, after))
    count = sum(len(before[part]) for part in before.keys() & after.keys())
    print("\n".join(found) or f"equal: {count} values of {', '.join(sorted(before.keys() & after.keys()))}")
    return 1 if found or not count else 0


def main(arguments: list[str]) -> int:
    match arguments:
        case ["record", path, *names] if set(names) <= set(PARTS):
            record(Path(path).resolve(), names)
            return 0
        case ["compare", first, second]:
            return compare(Path(first), Path(second))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
