"""Runs of the real command under torchrun."""

import subprocess
import sys
from pathlib import Path

from tests import small_run
from tests.cli_helpers import environment


def command(processes: int, *arguments: str, restarts: int = 0) -> list[str]:
    """`torchrun ... -m bertref ARGUMENTS` in this interpreter."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
        f"--max-restarts={restarts}", "--monitor-interval=0.1", "-m", "bertref", *arguments,
    ]  # fmt: skip


def options(folder: Path, out: str, **changes: object) -> list[str]:
    """The arguments of `small_run`'s run, as JSON lines."""
    given = small_run.options(folder, out, **changes)
    (corpus,) = given.pop("corpus")  # type: ignore[misc]
    named = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return ["pretrain", str(corpus), *named, "--json"]


def launch(processes: int, *arguments: str, restarts: int = 0) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(processes, *arguments, restarts=restarts), env=environment(GLOO_SOCKET_IFNAME="lo"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
