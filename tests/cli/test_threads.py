"""--threads reaches every library, whether it has been loaded or not."""

import os
import subprocess
import sys

import pytest

from tests.cli_helpers import in_process

CODE = """
import os, sys
{before}
import click
from bertref.cli.options import threads_option

@click.command()
@threads_option
def command():
    from bertref.backends.numpy import threads
    from bertref.backends.numpy.blas import openblas
    print(os.environ.get("OMP_NUM_THREADS"), os.environ.get("RAYON_NUM_THREADS"), threads.count(), openblas.threads())

sys.argv = ["command", *{arguments}]
command()
"""


@pytest.mark.parametrize("before", ["", "import numpy"])
def test_every_library_is_told(before: str) -> None:
    environment = {n: v for n, v in os.environ.items() if not n.endswith("_NUM_THREADS")}
    code = CODE.format(before=before, arguments=["--threads", "1"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.split()[:3] == ["1", "1", "1"], done.stderr
    assert done.stdout.split()[3] in ("1", "None")


def test_without_it_the_environment_stays() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "RAYON_NUM_THREADS": "5"}
    code = CODE.format(before="", arguments=[])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.split()[:3] == ["2", "5", "2"], done.stderr


@pytest.mark.parametrize("command", ["pretrain", "predict", "features"])
def test_no_threads_can_not_compute(command: str) -> None:
    done = in_process(command, "--threads", "0")
    assert done.returncode == 2
    assert "--threads" in done.stderr
