"""bertref finetune"""

from collections.abc import Callable
from typing import Any

import click

from ..errors import InputError
from ..optim import RULES
from ..train.finetuning.options import CHOICES, FinetuneOptions
from ..train.report import Report
from .data_options import column_options, format_options, names_of, sequence_options, task_argument
from .options import backend_option, debug_option, json_option, threads_option
from .render_finetuning import Finetuning
from .reporters import FinetuningPlot
from .training_commands import Ended, carry_out, defaulted, report_options

shown = defaulted(FinetuneOptions(model="-", data="-"))


@click.command()
@task_argument()
@click.argument("data", metavar="DATA")
@click.option("--model", required=True, metavar="MODEL", help="The model to begin with: a folder or a file of weights.")
@shown("out", metavar="DIR", help="Where the model and its checkpoints go.")
@shown("dev", metavar="PATH", help="What to evaluate on, where DATA does not hold it.")
@shown("test", metavar="PATH", help="The test part, where DATA does not hold it.")
@column_options
@click.option("--by-group", is_flag=True, help="Keep groups together in --held-out where the data name them (imdb: the "
              "film).")  # fmt: skip
@click.option("--labels", metavar="A,B,...", help="The labels in order.  [default: those of the training part, sorted]")
@format_options
@shown("held-out", type=float, help="Share of the training part to evaluate on.  [default: 0.1 without a dev part]")
@sequence_options
@shown("max-examples", type=int, help="Learn from so many examples, drawn evenly.")
@shown("max-dev-examples", type=int, help="Evaluate on so many examples, drawn evenly.")
@shown("epochs", type=float, help="Passes over the data.  [default: 3; imdb, squad 2]")
@shown("steps", type=int, help="Updates, in place of --epochs.")
@shown("batch-size", type=int, help="Examples an update.  [default: 32]")
@shown("learning-rate", type=float, help="Peak rate.  [default: 5e-5; squad 3e-5, imdb and swag 2e-5]")
@shown("warmup", help="Share of the updates with a rising rate.")
@shown("weight-decay", help="Decoupled weight decay.")
@shown("clip-norm", help="Longest gradient; 0: any.")
@shown("optimizer", type=click.Choice(list(RULES)), help="[default: adamw; with --dialect google google]")
@shown("schedule", type=click.Choice(["huggingface", "google", "constant"]), help="[default: linear to 0]")
@shown("dialect", type=click.Choice(CHOICES["dialect"]), help="Whose optimiser and schedule. google's has no bias "
       "correction and is unstable on small sets.  [default: huggingface]")  # fmt: skip
@shown("dropout", type=float, help="[default: the model's]")
@shown("classifier-dropout", type=float, help="In front of the classifier.  [default: the model's]")
@shown("layer-decay", help="Factor of the rate from layer to layer downward.")
@shown("freeze", metavar="WHAT", help="embeddings, encoder, or a number of layers from below.")
@shown("label-smoothing", help="Share of the target that is spread over all labels.")
@shown("class-weights", metavar="W", help="balanced, or a number for each label.")
@shown("metric", help="Chooses the best evaluation.  [default: the task's]")
@shown("patience", type=int, help="Stop after so many evaluations without a better one.")
@shown("accumulate", help="Chunks in which a batch is computed: less memory, the same result.")
@shown("recompute", type=click.Choice(["none", "attention", "layers"]), help="Recompute in the backward: less memory.")
@shown("layout", type=click.Choice(CHOICES["layout"]), help="Padded, or packed without padding.")
@backend_option
@shown("precision", metavar="NAME", help="float32, float64, bfloat16, mixed-bfloat16, ...")
@click.option("--kernels", type=click.Choice(["on", "off"]), default="on", show_default=True, help="Faster versions.")
@threads_option
@shown("seed", help="Of everything random.")
@shown("rng", type=click.Choice(CHOICES["rng"]),
       help="Dropout's random numbers: the reference's, the same on every backend, or those of torch's own generator, "
       "drawn on the device.")  # fmt: skip
@shown("eval-every", help="Steps between evaluations; 0: after each epoch.")
@shown("log-every", help="Steps between reports, each of which is then shown; else one in ten seconds.")
@shown("save-every", help="Steps between checkpoints.")
@shown("keep", help="Checkpoints to keep.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, bit-equal.")
@shown("teacher", metavar="MODEL", help="Learn from this model's answers, too: distillation.")
@shown("temperature", help="Of the teacher's and the student's softmax.")
@shown("hard-weight", help="Share of the labels' own loss beside the teacher's.")
@shown("hidden", type=click.Choice(CHOICES["hidden"]), help="Imitate the last layer's vectors: their direction (equal "
       "widths), or through a learned projection.")  # fmt: skip
@shown("hidden-weight", help="Weight of that loss.")
@shown("masked-words", metavar="CORPUS", help="Learn masked words of this prepared corpus, too, so that the model "
       "keeps its head for them.")  # fmt: skip
@shown("masked-words-every", help="One step of so many is one of masked words.")
@click.option("--answer-windows", is_flag=True, help="Cut texts to learn from, but evaluate, and let the model "
              "answer, through windows.")  # fmt: skip
@click.option("--calibrate", is_flag=True, help="In the end divide the classifier's logits by the temperature that "
              "fits the evaluated part best.")  # fmt: skip
@click.option("--shard-optimizer", is_flag=True, help="Under torchrun: each process keeps a share of the optimiser's "
              "state.")  # fmt: skip
@click.option("--grid", "grid", multiple=True, metavar="OPTION=A,B,...", help="Run every combination of such values, "
              "and compare: learning-rate=2e-5,3e-5; epochs=2,3,4; seed=1,2,3.")  # fmt: skip
@click.option("--predict-on", metavar="WHAT", multiple=True, help="Afterwards answer a part of DATA (test, ...) or a "
              "file; the answers go to --out/predictions. May be given again.")  # fmt: skip
@report_options
@json_option
@debug_option
def finetune(as_json: bool, kernels: str, no_header: bool, labels: str | None, grid: tuple[str, ...], plot: str | None,
             log_json: str | None, tensorboard: str | None, **values: Any) -> None:  # fmt: skip
    """Fine-tune a model for a task.

    TASK is a kind of task (classification, regression, multi-label, question-answering, multiple-choice,
    token-classification) or the name of a data set, which brings its layout, metric and hyper-parameters along.
    DATA is a folder with the published files, or the file to learn from: CSV, TSV or JSON lines with named columns, a
    folder for each label, SQuAD's JSON, SWAG's CSV, or columns of words and labels.

    \b
    Example:
        bertref finetune classification reviews.csv --model bertref-model --out reviews-model
        bertref finetune sst-2 glue/SST-2 --model bert-base-uncased --out sst-2
        bertref finetune mrpc MRPC --model m --out g --grid learning-rate=2e-5,3e-5,5e-5 --grid seed=1,2,3
        bertref finetune squad squad/ --model bert-base-uncased --out squad-model

    Under torchrun (it comes with bertref[torch]) all processes train one model: each computes its share of every batch.
    """
    from ..train.finetuning.grid import parse_axes, run_grid
    from ..train.finetuning.run import finetune as run
    from ..train.parallel.torchrun import joined

    values["truncate"] = values["truncate"] or "head"
    options = FinetuneOptions(**values, labels=names_of(labels), header=not no_header, kernels=kernels == "on")

    with joined() as world:
        if grid and world.size > 1:
            raise InputError("--grid runs one experiment after the other in one process; start it without torchrun")

        def run_all(report: Report, should_stop: Callable[[], bool]) -> Ended:
            if grid:
                return run_grid(options, parse_axes(grid), report, should_stop)
            return run(options, report, should_stop, world)

        carry_out(
            run_all, Finetuning, FinetuningPlot, out=options.out, as_json=as_json, plot=plot, log_json=log_json,
            tensorboard=tensorboard, quiet=world.rank > 0,
        )  # fmt: skip
