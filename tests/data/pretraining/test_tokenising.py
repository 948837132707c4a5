"""Several processes write what one writes, and neither outlive the caller nor hide what went wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bertref.data.pretraining import shards, tokenising
from bertref.data.pretraining.documents import Document
from bertref.data.pretraining.tokenising import FEW, tokenised
from bertref.errors import BertrefError
from bertref.text import Tokenizer, Vocab
from bertref.text.vocab import SPECIAL_TOKENS

VOCAB = Vocab((*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")))
BLOCKS = [[f"block {n} has text {'xyz'[i % 3]} {i}" for i in range(50 + n)] for n in range(FEW + 7)]


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(Tokenizer):
    """Its process does not survive it, unless it is the one that made it."""

    def __init__(self, home: int) -> None:
        super().__init__(VOCAB)
        self.home = home

    def __reduce__(self) -> tuple[type["Killer"], tuple[int]]:
        return Killer, (self.home,)

    def ids_arrays(self, texts: object) -> tokenising.Ids:
        if os.getpid() != self.home:
            killed()
        return super().ids_arrays(texts)  # type: ignore[arg-type]


def test_the_ids_are_the_same_in_the_same_order() -> None:
    tokenizer = Tokenizer(VOCAB)
    for (ids, bounds), block in zip(tokenised(BLOCKS, tokenizer, processes=2), BLOCKS, strict=True):
        wanted, wanted_bounds = tokenizer.ids_arrays(block)
        np.testing.assert_array_equal(ids, wanted)
        np.testing.assert_array_equal(bounds, wanted_bounds)


def test_the_prepared_corpus_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BLOCK", 60)
    documents = [Document(str(n), [*block, "\u200b"]) for n, block in enumerate(BLOCKS)]  # the last one has no tokens
    for processes in (1, 2):
        shards.prepare(documents, Tokenizer(VOCAB), tmp_path / str(processes), shard_tokens=2000, processes=processes)
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == names
    assert sum(name.endswith(".tokens.bin") for name in names) > 1
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_a_small_corpus_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenising, "ProcessPoolExecutor", None)
    assert len(list(tokenised(BLOCKS[:FEW], Tokenizer(VOCAB), processes=2))) == FEW
    assert len(list(tokenised(BLOCKS, Tokenizer(VOCAB), processes=1))) == len(BLOCKS)


def test_an_error_of_the_caller_comes_through() -> None:
    def blocks() -> Iterator[list[str]]:
        yield from BLOCKS
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(tokenised(blocks(), Tokenizer(VOCAB), processes=2))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system can't kill a process")
def test_a_killed_process_is_reported() -> None:
    with pytest.raises(BertrefError, match="killed"):
        list(tokenised(BLOCKS, Killer(os.getpid()), processes=2))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_processes_do_not_outlive_a_killed_caller(tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(
        "import multiprocessing, os, time\n"
        "from bertref.data.pretraining.tokenising import tokenised\n"
        "from bertref.text import Tokenizer, Vocab\n"
        "from bertref.text.vocab import SPECIAL_TOKENS\n"
        "if __name__ == '__main__':\n"
        "    for number, _ in enumerate(tokenised([['a']] * 20, Tokenizer(Vocab(SPECIAL_TOKENS)), 2)):\n"
        "        if number == 8:\n"
        "            print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "            time.sleep(60)\n",
        encoding="utf-8",
    )
    caller = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    workers = caller.stdout.readline().split()
    caller.kill()
    caller.wait()
    assert workers
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < deadline, "a process outlives its caller"
        time.sleep(0.05)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
