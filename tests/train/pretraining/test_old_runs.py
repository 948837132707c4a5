"""Runs that version 0.1.0 started go on: an option that its record lacks counts as its default."""

import json
from pathlib import Path

import pytest

from bertref.errors import InputError

from .running import equal, run, weights

OPTIONS_OF_0_1_0 = """corpus config dialect vocab vocab_size lower_case documents sentences steps batch_size seq_len
    max_predictions masked_lm_prob short_seq_prob masking dupe_factor whole_word optimizer learning_rate warmup_steps
    weight_decay clip_norm schedule accumulate dropout precision seed eval_on held_out""".split()


def made_old(folder: Path, **changes: object) -> None:
    """The record as 0.1.0 wrote it."""
    path = folder / "run.json"
    options = json.loads(path.read_text())["options"]
    old = {name: options[name] for name in OPTIONS_OF_0_1_0} | changes
    path.write_text(json.dumps({"format": "bertref-run", "version": 1, "options": old}, indent=2))


def test_an_old_run_resumes_bit_equal(tmp_path: Path) -> None:
    run(tmp_path, "whole")
    run(tmp_path, "parts", 5)
    made_old(tmp_path / "parts")
    run(tmp_path, "parts", resume=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_defaults_that_are_not_written_down_are_those_of_then(tmp_path: Path) -> None:
    """0.1.0 recorded the config and the dialect by name, whether they were given or not."""
    run(tmp_path, "out", 2, config=None)
    made_old(tmp_path / "out", config="tiny", dialect="huggingface")
    assert run(tmp_path, "out", 1, config=None, resume=True).of("start")[0]["first_step"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mlm"}, r"--objective was 'mlm\+nsp' and is 'mlm'"),
        ({"seed": 3}, "--seed was 12345 and is 3"),
        ({"dialect": "google"}, "--dialect was 'huggingface' and is 'google'"),
    ],
    ids=str,
)
def test_another_value_than_the_default_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    run(tmp_path, "out", 2)
    made_old(tmp_path / "out")
    with pytest.raises(InputError, match=message):
        run(tmp_path, "out", resume=True, **changes)
