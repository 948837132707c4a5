"""`bertref golden`: what it exports, shows, checks and refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bertref import golden
from bertref.checkpoint import load_model
from bertref.config import BertConfig, Numerics, config_to_dict
from bertref.heads import parameter_shapes
from bertref.verify.cases.case import generate
from bertref.verify.exchange import read_case, settings_digest
from tests.checkpoint.test_folder import make
from tests.cli_helpers import bertref, in_process


def test_help_shows_an_example_for_every_command() -> None:
    for name in ("export", "list", "show", "check"):
        assert f"bertref golden {name}" in in_process("golden", name, "--help").stdout


def test_export_writes_the_case_of_the_seed(tmp_path: Path) -> None:
    done = in_process("golden", "export", str(tmp_path / "case"), "--seed", "7", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    assert found["origin"]["seed"] == 7
    assert found["case"] == settings_digest(generate(7)) == settings_digest(read_case(tmp_path / "case"))
    assert found["files"].keys() == {p.name for p in (tmp_path / "case").iterdir()}
    assert all((tmp_path / "case" / name).stat().st_size == size for name, size in found["files"].items())


def test_export_takes_every_option(tmp_path: Path) -> None:
    done = in_process(
        "golden", "export", str(tmp_path / "case"), "--seed", "3", "--size", "small", "--dialect", "google", "--edge",
        "large-scores", "--optimizer", "lamb", "--expected", "probes,updates", "--format", "safetensors,npy",
        "--precision", "bfloat16",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "small, seed 3" in done.stdout
    assert "bertref verify dump:" in done.stdout
    case = read_case(tmp_path / "case")
    wanted = generate(3, size="small", dialect="google", edge="large-scores", optimizer="lamb")
    assert settings_digest(case) == settings_digest(wanted)
    index = json.loads((tmp_path / "case" / "index.json").read_text(encoding="utf-8"))
    assert index["precision"] == "bfloat16"
    expected = {t["name"] for t in index["tensors"] if t["kind"] == "expected"}
    assert {"layer.2.output", "loss.total", "update:cls.predictions.bias"} <= expected
    assert not [name for name in expected if name.startswith("grad:")]
    assert {t["file"] for t in index["tensors"]} == {f"{k}.safetensors" for k in ("parameter", "batch", "moment",
                                                                                 "expected")}  # fmt: skip
    assert (tmp_path / "case" / "expected" / "loss.total.npy").is_file()


@pytest.mark.parametrize(
    ("variant", "edge", "own"),
    [
        ("roberta", "padded-left", "grad:mlm.logits"), ("distilbert", "large-scores", "grad:mlm.logits"),
        ("albert", "masked-row", "grad:embeddings.projection"),
    ],
)  # fmt: skip
def test_export_of_another_network(tmp_path: Path, variant: str, edge: str, own: str) -> None:
    done = in_process("golden", "export", str(tmp_path / "case"), "--variant", variant, "--edge", edge,
                      "--expected", "all", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    case = generate(0, variant=variant, edge=edge)
    assert settings_digest(read_case(tmp_path / "case")) == settings_digest(case) == json.loads(done.stdout)["case"]
    index = json.loads((tmp_path / "case" / "index.json").read_text(encoding="utf-8"))
    assert index["config"]["model_type"] == variant
    expected = {t["name"] for t in index["tensors"] if t["kind"] == "expected"}
    assert {"layer.1.output", own, "update:cls.predictions.bias"} <= expected
    assert ("embeddings.token_type" in expected) == (variant != "distilbert")


def test_export_of_a_config(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=50, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20,
                        max_position_embeddings=40, type_vocab_size=3)  # fmt: skip
    values = config_to_dict(config, Numerics.preset("google"))
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    folder = tmp_path / "case"
    done = in_process("golden", "export", str(folder), "--config", str(tmp_path / "config.json"), "--optimizer", "none")
    assert done.returncode == 0, done.stderr
    case = read_case(folder)
    assert (case.config, case.numerics, case.optimizer) == (config, Numerics.preset("google"), None)
    assert case.batch.input_ids.shape[1] == 13
    assert "config.json, seed 0" in done.stdout


@pytest.mark.parametrize("texts", [True, False])
def test_export_of_a_model(tmp_path: Path, texts: bool) -> None:
    config = make(tmp_path / "model", dtype="float32")
    (tmp_path / "texts.txt").write_text("one two ?\ttwo one\none\n", encoding="utf-8")
    more = ["--file", str(tmp_path / "texts.txt")] if texts else []
    done = in_process("golden", "export", str(tmp_path / "case"), "--model", str(tmp_path / "model"), *more)
    assert done.returncode == 0, done.stderr
    case = read_case(tmp_path / "case")
    assert case.params.keys() == parameter_shapes(case.config).keys()
    assert case.config == config
    for name, array in load_model(tmp_path / "model").params.items():
        assert np.array_equal(case.params[name], array.astype(np.float64)), name
    assert case.optimizer is not None
    if texts:
        assert len(case.batch) == 2
        assert case.batch.token_type_ids[0].any()
    else:
        assert len(case.batch) == 5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["export", "{tmp}"], "exists already"),
        (["export", "{tmp}/x", "--format", "hdf5"], "hdf5.*bin, npy, safetensors"),
        (["export", "{tmp}/x", "--format", ""], "bin, npy, safetensors"),
        (["export", "{tmp}/x", "--expected", "outputs"], "outputs.*probes, gradients, updates"),
        (["export", "{tmp}/x", "--precision", "fp8"], "fp8"),
        (["export", "{tmp}/x", "--config", "{tmp}/none.json"], "none.json: no such file"),
        (["export", "{tmp}/x", "--model", "{tmp}/none"], "none"),
        (["export", "{tmp}/x", "--file", "{tmp}/none.txt"], "none.txt: no such file"),
        (["export", "{tmp}/x", "--config", "c.json", "--edge", "masked-row"], "edge"),
        (["export", "{tmp}/x", "--seed", "-1"], "seed"),
        (["export", "{tmp}/x", "--size", "huge"], "huge"),
        (["show", "ops/nothing"], "ops/nothing"),
    ],
)
def test_wrong_use_is_short_and_writes_nothing(tmp_path: Path, args: list[str], message: str) -> None:
    done = in_process("golden", *(part.format(tmp=tmp_path) for part in args), BERTREF_MODEL="")
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_list_names_every_golden_with_oracle_and_command() -> None:
    lines = [json.loads(line) for line in in_process("golden", "list", "--json").stdout.splitlines()]
    assert [line["name"] for line in lines] == list(golden.names())
    for line in lines:
        entry = golden.entry(line["name"])
        assert line["command"] == entry.command
        assert line["oracle"] == dict(entry.oracle)
    drawn = in_process("golden", "list").stdout
    for name in golden.names():
        assert re.search(rf"^{re.escape(name)} +{re.escape(golden.entry(name).command)} ", drawn, re.MULTILINE)


@pytest.mark.parametrize("name", ["ops/layer_norm", next(n for n in golden.names() if not n.startswith("ops/"))])
def test_show_tells_all(name: str) -> None:
    entry = golden.entry(name)
    found = json.loads(in_process("golden", "show", name, "--json").stdout)
    assert found["sha256"] == entry.sha256
    assert found["tolerances"].keys() == entry.tolerances.keys()
    drawn = in_process("golden", "show", name).stdout
    assert entry.sha256 in drawn
    for array in list(found.get("arrays", found.get("content")))[:20]:
        assert array in drawn


def test_check_finds_a_damaged_golden(tmp_path: Path) -> None:
    """In a copy of the package, one byte of one golden differs."""
    done = in_process("golden", "check")
    assert done.returncode == 0, done.stderr
    assert f"{len(golden.names())} of {len(golden.names())} goldens" in done.stdout
    shutil.copytree(Path(golden.__file__).resolve().parents[1] / "bertref", tmp_path / "bertref", symlinks=False,
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    victim = tmp_path / "bertref" / "golden" / golden.entry("ops/add").file
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(bytes(data))
    done = bertref("golden", "check", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "WRONG golden 'ops/add'" in done.stdout
    assert f"{len(golden.names()) - 1} of {len(golden.names())} goldens" in done.stdout
    done = bertref("golden", "check", "--json", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in lines if not line["right"]] == ["ops/add"]
