"""Runs of RoBERTa, DistilBERT and ALBERT: they learn by their own objectives, and are resumed bit by bit."""

from pathlib import Path

import pytest
import transformers

from bertref.checkpoint import load_model
from bertref.errors import InputError

from .running import equal, run, weights

OBJECTIVES = {"roberta-tiny": "mlm", "distilbert-tiny": "mlm", "albert-tiny": "mlm+sop"}


@pytest.mark.parametrize("config", OBJECTIVES)
def test_a_run_learns_and_is_resumed(config: str, tmp_path: Path) -> None:
    options = {"config": config, "objective": OBJECTIVES[config], "steps": 8, "learning_rate": 3e-3}
    log = run(tmp_path, "whole", **options)
    losses = [values["loss"] for values in log.of("step")]
    assert min(losses[-3:]) < losses[0] - 0.2
    run(tmp_path, "parts", 5, **options)
    run(tmp_path, "parts", resume=True, **options)
    assert equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    saved = load_model(tmp_path / "whole")
    assert saved.config.variant.model_type == config.removesuffix("-tiny")
    opened = transformers.AutoModelForPreTraining if config == "albert-tiny" else transformers.AutoModelForMaskedLM
    _, loading = opened.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not any(loading.values())


@pytest.mark.parametrize("objective", ["mlm+nsp", "mlm+sop"])
def test_an_objective_that_the_network_has_no_head_for_is_refused(objective: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"RoBERTa has no head for pairs of sentences; use --objective mlm"):
        run(tmp_path, "out", config="roberta-tiny", objective=objective)
    assert not (tmp_path / "out").exists()
