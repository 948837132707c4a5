"""`bertref finetune`: what it says and leaves behind, what it draws, what it refuses."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from bertref.cli.render_finetuning import Finetuning
from tests.cli_helpers import Done, command, environment, in_process
from tests.train.finetuning import running

COMMAND = ["finetune", "classification", "train.csv", "--dev", "dev.csv", "--model", "model", "--batch-size", "8",
           "--max-length", "24", "--learning-rate", "1e-3", "--log-every", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return running.prepared(tmp_path_factory.mktemp("finetune"))


def finetune(folder: Path, *more: str) -> Done:
    return in_process(*COMMAND, *more, cwd=folder, BERTREF_CACHE=str(folder / "cache"))


def test_a_run_says_what_it_does_and_its_model_predicts(folder: Path) -> None:
    files = ("--plot", "a.svg", "--log-json", "a.jsonl")
    done = finetune(folder, "--out", "a", "--steps", "6", "--eval-every", "3", *files)
    assert done.returncode == 0, done.stderr
    for said in ("has no classifier; newly made", "classification: 40 examples, 2 labels", "6 steps of 8 (1.2 epochs)",
                 "step 3, on dev: accuracy", "The best by accuracy", "The model is in a"):  # fmt: skip
        assert said in done.stderr
    assert done.stdout == 'bertref predict --model a "A fine film."\n'
    answered = in_process("predict", "--model", "a", "the river", "--json", cwd=folder)
    assert {each["label"] for each in json.loads(answered.stdout)["labels"]} == {"dry", "wet"}
    events = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    assert [e["step"] for e in events if e["event"] == "eval"] == [3, 6]
    assert "<svg" in (folder / "a.svg").read_text()


def test_a_grid_ends_with_a_table(folder: Path) -> None:
    done = finetune(folder, "--out", "grid", "--steps", "3", "--grid", "learning-rate=1e-4,1e-3", "--grid", "seed=1,2")
    assert done.returncode == 0, done.stderr
    assert "Experiment 4 of 4: learning-rate-0.001-seed-2" in done.stderr
    table = [line for line in done.stdout.splitlines() if "│ 0.0" in line]
    assert len(table) == 2
    assert "bertref predict --model grid/learning-rate-" in done.stdout
    again = finetune(folder, "--out", "grid", "--steps", "3", "--grid", "learning-rate=1e-4,1e-3", "--grid", "seed=1,2",
                     "--resume")  # fmt: skip
    assert (again.returncode, "Experiment" in again.stderr) == (0, False)
    assert again.stdout == done.stdout


def test_every_event_is_json(folder: Path) -> None:
    """Of a single run in each row of a grid's table no deviation is defined, which is null there."""
    done = finetune(folder, "--out", "rates", "--steps", "2", "--grid", "learning-rate=1e-4,1e-3", "--json")
    assert done.returncode == 0, done.stderr

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    events = [json.loads(line, parse_constant=refused) for line in done.stdout.splitlines()]
    rows = next(event["rows"] for event in events if event["event"] == "grid")
    assert [row["deviation"] for row in rows] == [None, None]
    assert all(0 <= row["mean"] <= 1 for row in rows)


def test_an_interrupt_saves_and_resumes(folder: Path) -> None:
    more = ["--out", "stopped", "--steps", "400", "--save-every", "1000", "--json"]
    environ = environment(BERTREF_CACHE=str(folder / "cache"))
    given = command(*COMMAND, *more)
    with subprocess.Popen(given, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "step":
                process.send_signal(signal.SIGINT)
                break
        rest = [json.loads(line) for line in process.stdout]
    assert process.returncode == 130
    assert (rest[-1]["event"], rest[-1]["status"]) == ("done", "interrupted")
    assert (folder / "stopped" / f"checkpoint-{rest[-1]['step']}").is_dir()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--text", "words"), "train.csv: no column 'words'; there are 'text', 'label'"),
        (("--delimiter", ";"), "train.csv"),
        (("--metric", "bleu"), "there is no metric 'bleu' for classification"),
        (("--grid", "rate=1"), "write an option and its values"),
        (("--max-length", "500"), "longer than the model's 48 positions"),
        (("--epochs", "1", "--steps", "2"), "leave one out"),
        (("--plot", "nowhere/x.svg"), "--plot nowhere/x.svg: its folder does not exist"),
        (("--plot", "model"), "--plot model: is a folder; a file is needed"),
        (("--plot", "/proc/x.svg"), "--plot /proc/x.svg: can't be written"),
        (("--plot", "refused/x.txt"), "--plot refused/x.txt: pictures end in"),
        (("--log-json", "model"), "--log-json model: is a folder; a file is needed"),
        (("--tensorboard", "train.csv"), "--tensorboard train.csv: can't be made"),
        (("--log-json", "refused/log.jsonl", "--metric", "bleu"), "there is no metric 'bleu'"),
        (("--backend", "cupy:9"), "cupy"),
    ],
)
def test_bad_input(folder: Path, more: tuple[str, ...], said: str) -> None:
    done = finetune(folder, "--out", "refused", *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "refused").exists()


def test_a_cache_that_is_a_file_is_said(folder: Path) -> None:
    done = in_process(*COMMAND, "--out", "refused", cwd=folder, BERTREF_CACHE=str(folder / "train.csv"))
    assert (done.returncode, "BERTREF_CACHE names another folder" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr
    assert not (folder / "refused").exists()


def test_reports_may_lie_in_the_runs_own_folder(folder: Path) -> None:
    files = ("--plot", "inside/loss.svg", "--log-json", "inside/log/log.jsonl", "--tensorboard", "inside/board")
    done = finetune(folder, "--out", "inside", "--steps", "2", *files)
    assert done.returncode == 0, done.stderr
    assert "<svg" in (folder / "inside" / "loss.svg").read_text()
    events = [json.loads(line)["event"] for line in (folder / "inside" / "log" / "log.jsonl").read_text().splitlines()]
    assert events[0] == "message", "what was said before the run began comes first"
    assert (events.count("start"), events.count("step"), events[-1]) == (1, 2, "done")
    assert any((folder / "inside" / "board").iterdir())
    again = finetune(folder, "--out", "inside", "--steps", "2", "--resume", *files)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(("more", "shown"), [(("--log-every", "2"), [1, 2, 4, 6]), ((), [1, 6])])
def test_every_report_that_is_asked_for_is_shown(folder: Path, more: tuple[str, ...], shown: list[int]) -> None:
    name = f"shown-{len(more)}"
    given = COMMAND[: COMMAND.index("--log-every")]
    done = in_process(*given, "--steps", "6", "--out", name, *more, cwd=folder, BERTREF_CACHE=str(folder / "cache"))
    steps = [int(line.split("/")[0].removeprefix("step ")) for line in done.stderr.splitlines() if "/6  loss" in line]
    assert steps == shown


@pytest.mark.parametrize(("count", "said"), [(0, "examples;"), (1, "examples, 1 label;"), (2, "examples, 2 labels;")])
def test_labels_are_counted(count: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr("bertref.cli.render.message", lines.append)
    Finetuning()("start", {
        "kind": "regression", "metric": "pearson", "labels": count, "task": "regression", "examples": 3,
        "parameters": 7, "steps": 1, "batch_size": 2, "epochs": 1.0, "max_length": 9, "optimizer": "adamw",
        "learning_rate": 1e-5, "precision": "float32", "backend": "numpy", "first_step": 0,
    })  # fmt: skip
    assert f"3 {said} 7 parameters" in lines[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--windows", "--truncate", "tail"), "--truncate does nothing with --windows"),
        (("--test", "dev.csv"), "--test does nothing without --predict-on test"),
        (("--model", "bert-base-uncased"), "hf download bert-base-uncased --local-dir bert-base-uncased"),
        (("--dev", "parts"), "parts/dev: holds folders (dry, wet) where texts are expected"),
    ],
)
def test_what_a_user_meets_says_what_to_do(folder: Path, more: tuple[str, ...], said: str) -> None:
    for label in ("dry", "wet"):
        for part in ("train", "dev"):
            (folder / "parts" / part / label).mkdir(parents=True, exist_ok=True)
    done = finetune(folder, "--out", "refused", *more)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not (folder / "refused").exists()


def test_a_path_is_no_name_of_a_hub(folder: Path) -> None:
    for path in ("model/nowhere", "nowhere.safetensors", str(folder / "nowhere")):
        assert "hf download" not in finetune(folder, "--model", path).stderr


def test_an_error_about_an_example_has_its_path(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "dev.csv").write_text("text,label\nthe sea,damp\n")
    done = finetune(folder, "--out", "refused", "--dev", "deep/dev.csv")
    assert "bertref: deep/dev.csv, line 2: the label 'damp' is unknown" in done.stderr


@pytest.mark.parametrize(("task", "text"), [("classification", "text,pair,label\n"), ("regression", "text,label\n")])
def test_the_example_at_the_end_is_of_the_data(folder: Path, task: str, text: str) -> None:
    pairs = "pair" in text
    rows = [f"the sea,{'the river,' if pairs else ''}{i % 2}\n" for i in range(4)]
    (folder / f"{task}.csv").write_text(text + "".join(rows))
    given = ["finetune", task, f"{task}.csv", "--dev", f"{task}.csv", "--model", "model", "--steps", "1",
             "--max-length", "24", "--out", f"end-{task}"]  # fmt: skip
    done = in_process(*given, cwd=folder, BERTREF_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    assert ("--pair" in done.stdout) is pairs
