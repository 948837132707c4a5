"""bertref pretrain"""

from functools import partial
from typing import Any

import click

from ..optim import RULES
from ..train.pretraining.options import (
    CHOICES,
    DEFAULT_CONFIG,
    DEFAULT_DIALECT,
    HARD_WEIGHT,
    HIDDEN_WEIGHT,
    LEARNING_RATES,
    PretrainOptions,
)
from . import render
from .corpus_options import corpus_options
from .options import backend_option, debug_option, json_option, threads_option
from .reporters import PretrainingPlot
from .training_commands import carry_out, defaulted, report_options

shown = defaulted(PretrainOptions())
RATES = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())


@click.command()
@corpus_options(required=False)
@shown("out", metavar="DIR", help="Where the model and its checkpoints go.")
@click.option("--init", metavar="MODEL", help="Go on from this model, with its architecture, dialect and vocabulary.")
@click.option("--init-layers", metavar="N,N,...", help="Begin with these layers of it alone, counted from 0, in the "
              "network of --config: a shallow student, DistilBERT.")  # fmt: skip
@click.option("--init-optimizer", is_flag=True, help="With its optimiser's state and step, too.")
@click.option("--config", metavar="NAME|FILE", help="tiny, mini, small, medium, base, large; roberta-base, "
              "distilbert-base, albert-base and other sizes of these, such as their tiny; or a config.json.  "
              f"[default: {DEFAULT_CONFIG}]")  # fmt: skip
@click.option("--dialect", type=click.Choice(["huggingface", "google"]),
              help=f"Whose arithmetic to follow.  [default: {DEFAULT_DIALECT}]")  # fmt: skip
@shown("objective", type=click.Choice(CHOICES["objective"]),
       help="Masked words and next sentences, masked words alone, on running text, or masked words and the order of "
       "sentences.")  # fmt: skip
@click.option("--teacher", metavar="MODEL", help="Learn masked words from this model's answers and vectors, too "
              "(with --objective mlm).")  # fmt: skip
@shown("temperature", help="Of the teacher's and the student's softmax.")
@click.option("--hard-weight", type=float, default=HARD_WEIGHT, help="Share of the labels' own loss beside the "
              "teacher's.  [default: 2/7]")  # fmt: skip
@click.option("--hidden-weight", type=float, default=HIDDEN_WEIGHT, help="Weight of the vectors' difference (equal "
              "widths).  [default: 1/7]")  # fmt: skip
@click.option("--vocab", metavar="FILE|DIR", help="A vocab.txt, or a folder with a tokenizer; without it one is "
              "trained on the text.")  # fmt: skip
@shown("vocab-size", help="Most tokens of a vocabulary that is trained.")
@click.option("--vocab-kind", type=click.Choice(["wordpiece", "byte-level", "unigram"]), help="Of BERT's pieces, "
              "RoBERTa's or ALBERT's, if it is trained.  [default: as the config's network has it]")  # fmt: skip
@click.option("--cased", is_flag=True, help="Keep case and accents (unless a folder's tokenizer says otherwise).")
@shown("steps", help="Updates to make.")
@shown("batch-size", help="Sequences an update.")
@shown("seq-len", help="Most tokens of a sequence.")
@click.option(
    "--max-predictions", type=int, help="Most masked tokens a sequence.  [default: what --masked-lm-prob gives]"
)
@shown("masked-lm-prob", help="Share of the tokens that is masked.")
@shown("short-seq-prob", help="Share of shorter sequences.")
@shown(
    "masking", type=click.Choice(["dynamic", "static"]), help="New masks in every pass, or --dupe-factor fixed ones."
)
@shown("dupe-factor", help="How many different passes static masking has.")
@click.option("--whole-word", is_flag=True, help="Mask whole words.")
@click.option("--optimizer", type=click.Choice(list(RULES)), help="Default: the dialect's.")
@click.option("--learning-rate", type=float, help=f"Peak rate.  [default: {RATES}; a fifth with lion]")
@click.option("--warmup-steps", type=int, help="Updates of rising rate.  [default: a tenth of --steps]")
@shown("weight-decay", help="Decoupled weight decay.")
@shown("clip-norm", help="Largest gradient norm; 0 switches clipping off.")
@click.option("--schedule", type=click.Choice(["google", "huggingface", "constant"]), help="Default: the dialect's.")
@click.option("--shard-optimizer", is_flag=True, help="Under torchrun: each process keeps a share of the optimiser's "
              "state.")  # fmt: skip
@shown("accumulate", help="Chunks in which a batch is computed: less memory, the same result.")
@click.option("--dropout", type=float, help="Both dropout probabilities.  [default: 0 for tiny, mini]")
@shown(
    "recompute", type=click.Choice(["none", "attention", "layers"]), help="Activations to compute again in backward."
)
@shown("layout", type=click.Choice(["auto", "padded", "packed"]), help="Compute padding or leave it out.")
@backend_option
@threads_option
@click.option("--precision", default="float32", show_default=True,
              help="float32, float64, bfloat16, float16, mixed-bfloat16, mixed-float16.")  # fmt: skip
@click.option("--kernels", type=click.Choice(["on", "off"]), default="on", show_default=True, help="Faster kernels.")
@shown("seed", help="Of all random choices.")
@shown("rng", type=click.Choice(CHOICES["rng"]),
       help="Dropout's random numbers: the reference's, the same on every backend, or those of torch's own generator, "
       "drawn on the device.")  # fmt: skip
@shown(
    "eval-on",
    type=click.Choice(["held-out", "train", "none"]),
    help="Evaluate on held-out documents or on the text learnt from.",
)
@shown("held-out", help="Share of the text, in whole documents, that is held out.")
@click.option("--eval-corpus", metavar="PATH", help="Evaluate on this prepared corpus or these records, and hold "
              "nothing out.")  # fmt: skip
@shown("eval-every", help="Steps between evaluations; 0: only at the end.")
@shown("eval-batches", help="Most batches an evaluation.")
@shown("log-every", help="Steps between reports, each of which is then shown; else one in ten seconds.")
@shown("save-every", help="Steps between checkpoints.")
@shown("keep", help="Checkpoints to keep.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, bit-equal.")
@report_options
@json_option
@debug_option
def pretrain(as_json: bool, cased: bool, kernels: str, plot: str | None, log_json: str | None,
             tensorboard: str | None, **values: Any) -> None:  # fmt: skip
    """Pre-train a BERT on text: masked words, with next sentences or alone.

    CORPUS: text files, folders, .gz, Wikipedia extracts, JSONL, or folders made by `bertref prepare`, of tokens or of
    TFRecord files (.gz, too). Without one it learns from the Python language reference, which is on every machine.

    Whole documents of text and tokens are held out for evaluation. Records are not split: the folder `held-out` beside
    them, which `prepare --held-out` writes, or --eval-corpus is evaluated on.

    \b
    Example:
        bertref pretrain
        bertref pretrain novels/ --config mini --steps 20000 --out novels-mini
        bertref pretrain novels/ --config mini --steps 20000 --out novels-mini --resume
        torchrun --standalone --nproc-per-node 4 -m bertref pretrain novels/ --out novels-mini --resume

    Under torchrun (it comes with bertref[torch]) all processes train one model: each computes its share of every batch.
    """
    from ..train import pretrain as run
    from ..train.parallel.torchrun import joined

    options = PretrainOptions(**values, lower_case=not cased, kernels=kernels == "on")
    with joined() as world:
        carry_out(
            partial(run, options, world=world), render.Training, PretrainingPlot, out=options.out, as_json=as_json,
            plot=plot, log_json=log_json, tensorboard=tensorboard, quiet=world.rank > 0,
        )  # fmt: skip
