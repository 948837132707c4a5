"""The program in C that is shipped as an example: it reads a case, computes, answers, and is heard when it fails."""

import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertref import golden
from bertref.errors import InputError
from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.exchange import read_dump, write_case
from bertref.verify.judgement.reference import reference
from bertref.verify.subjects.command import CommandSubject
from bertref.verify.subjects.dump import DumpSubject

SOURCE = golden.FOLDER / "examples" / "bert_encoder.c"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, gcc or clang) is installed")


def compiled(folder: Path, *flags: str) -> Path:
    """The example as a program."""
    assert COMPILER is not None
    program = folder / "bert_encoder"
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2"]
    subprocess.run([COMPILER, *strict, *flags, str(SOURCE), "-lm", "-o", str(program)], check=True, timeout=120)
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("c"))


def command(program: Path) -> str:
    return f"{shlex.quote(str(program))} {{case}} {{out}}"


def relative(found: np.ndarray, wanted: np.ndarray, mask: np.ndarray) -> float:
    """The relative error on the real tokens: rows of (B,S,..), or rows and columns of (B,A,S,S)."""
    if found.ndim == 4:
        keep = (mask[:, None, :, None] & mask[:, None, None, :]).astype(float)
    else:
        keep = mask[:, :, None].astype(float)
    return float(np.linalg.norm((found - wanted) * keep) / np.linalg.norm(wanted * keep))


@pytest.mark.parametrize(("seed", "size"), [(7, "tiny"), (2, "small")])
def test_its_answers_are_right_to_the_rounding_of_float(program: Path, seed: int, size: str) -> None:
    case = generate(seed, size=size)
    subject = CommandSubject(command(program))
    found = subject.answer(case).values
    right = reference(case, list(found)).values
    assert subject.precision == "float32"
    assert len(found) == 2 + 14 * case.config.num_hidden_layers
    mask = case.batch.attention_mask == 1
    for name, value in found.items():
        assert value.dtype == np.float32
        assert value.shape == right[name].shape
        assert relative(value, right[name], mask) < 2e-6, name


def test_by_hand_and_as_a_command_are_the_same(program: Path, tmp_path: Path) -> None:
    """Export, run it apart from bertref, read what it wrote."""
    case = generate(7)
    folder, out = write_case(case, tmp_path / "case"), tmp_path / "case" / "answers"
    out.mkdir()
    subprocess.run([str(program), str(folder), str(out)], check=True, timeout=60)
    subject = DumpSubject(out)
    assert subject.precision == "float32"
    assert subject.case_folder == folder.resolve()
    by_hand, as_command = subject.answer(case).values, CommandSubject(command(program)).answer(case).values
    assert by_hand.keys() == as_command.keys()
    assert all(np.array_equal(by_hand[name], as_command[name]) for name in by_hand)


@pytest.mark.parametrize(
    ("flags", "first", "cause", "known"),
    [
        (["-DSCALE=1/sqrt(H)"], "layer.0.scores", "attention.scale", "1/sqrt(hidden size)"),
        (["-DEPSILON=1e-5"], "embeddings.norm", "norm.epsilon", "1e-05"),
    ],
    ids=["scale", "epsilon"],
)
def test_a_mistake_can_be_compiled_in(
    program: Path, tmp_path: Path, flags: list[str], first: str, cause: str, known: str
) -> None:
    """Everything before the mistake stays bit-equal, the tensor that it makes is far off, and the cause is named."""
    case, subject = generate(7), CommandSubject(command(compiled(tmp_path, *flags)))
    right, wrong = CommandSubject(command(program)).answer(case).values, subject.answer(case).values
    found = check(subject, case, only="forward").diagnosis
    assert found is not None
    assert [(one.id, one.parameters[0].known) for one in found.causes] == [(cause, known)]
    names = list(right)
    mask = case.batch.attention_mask == 1
    for name in names[: names.index(first)]:
        assert np.array_equal(right[name], wrong[name]), name
    assert relative(wrong[first], right[first], mask) > 1e-4


def test_what_it_says_when_it_fails_is_shown(program: Path, tmp_path: Path) -> None:
    """In float64, which the program doesn't read."""
    case = generate(7)
    wide = {name: array + 2.0**-40 for name, array in case.params.items()}
    with pytest.raises(InputError, match=r"exit code 2; its last lines:\n  bert\.embeddings\S+: no tensor"):
        CommandSubject(command(program)).answer(replace(case, params=wide))
    done = subprocess.run([str(program), "nowhere", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "nowhere/settings.tsv can't be opened" in done.stderr


def test_answers_to_one_case_are_not_taken_for_another(program: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([str(program), str(write_case(generate(8), tmp_path / "case")), str(out)], check=True, timeout=60)
    with pytest.raises(InputError, match="answers the case"):
        read_dump(out).answers(generate(7))
