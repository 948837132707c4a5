"""bertref verify"""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from . import render
from . import render_verify as draw
from .case_options import case_of, case_options, numerics_of
from .options import debug_option, json_option
from .texts import read_texts

FLAGS = ("feed", "no_diagnosis", "blind_spots", "shrink")
PRECISIONS = ("float64", "float32", "tf32", "bfloat16", "float16", "mixed-bfloat16", "mixed-float16")


@click.command()
@click.argument("subject", metavar="SUBJECT")
@case_options
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="So many cases, of this seed and the following ones.",
)
@click.option("--dtype", metavar="NAME", help="What a backend or transformers computes in: float64, float32, ...")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    metavar="NAME",
    help=f"What to judge the answers as, if not as the subject says: {', '.join(PRECISIONS)}.",
)
@click.option("--only", type=click.Choice(["forward", "backward", "update"]), help="Judge this part alone.")
@click.option(
    "--probes",
    multiple=True,
    metavar="NAMES",
    help="Ask for these alone: names or patterns, with commas, such as 'layer.*.output,loss.total'.",
)
@click.option("--mapping", metavar="FILE", help="How a dump's or a command's answers are named and laid out.")
@click.option("--shrink", is_flag=True, help="Look for the smallest case that still fails, and show that.")
@click.option("--feed", is_flag=True, help="Have it do single steps from the right inputs, too, if it can.")
@click.option("--no-diagnosis", is_flag=True, help="Don't look for the cause where it diverges.")
@click.option("--blind-spots", is_flag=True, help="Where it is right, say which mistakes could not have been seen.")
@click.option("--html", metavar="FILE", help="Write the report as a page, too.")
@click.option("--junit", metavar="FILE", help="Write JUnit's XML for continuous integration, too.")
@json_option
@debug_option
def verify(subject: str, as_json: bool, html: str | None, junit: str | None, **options: Any) -> None:
    """Tell whether an implementation of BERT is right, and where it first goes wrong: forward, backward or in the
    optimiser step. Exit code 0: right, 1: it diverges, 2: it could not run.

    \b
    SUBJECT is one of
      numpy, torch, torch:cuda, cupy      bertref's own; numpy:kernels=off shows what is inside kernels
      transformers, transformers:FOLDER   Hugging Face's; options attention, dtype, autocast
      onnx:FILE                           an ONNX file, run by onnxruntime
      python:PACKAGE.MODULE:FACTORY       any Python object (python:FILE.py:FACTORY, too)
      dump:FOLDER                         answers to an exported case, by a program in any language
      "cmd:./my_bert {case} {out}"        a command that reads a case and writes its answers

    \b
    Example:
        bertref verify numpy
        bertref verify transformers:attention=sdpa --dtype bfloat16 --cases 5
        bertref verify python:my_bert.py:forward --size small --html report.html
        bertref golden export my-case && ./my_bert my-case my-case/answers && bertref verify dump:my-case/answers
    """
    from ..errors import BertrefError

    files = [Path(name) for name in (html, junit) if name]
    _check_places(files)
    reports, replays = [], []
    try:
        for report, replay in _reports(subject, options, click.get_current_context()):
            reports.append(report)
            replays.append(replay)
            if as_json:
                from ..verify.report.to_json import to_json

                click.echo(to_json(report, replay))
            elif options["cases"] > 1:
                draw.case(report)
    except BertrefError as error:
        if junit:
            _write_error(junit, subject, str(error))
        raise
    if not as_json:
        draw.reports(reports, replays)
    _write(reports, replays, html, junit)
    sys.exit(_exit_code(reports))


def _exit_code(reports: list[Any]) -> int:
    """1 if any diverges; else 2 if any could not run."""
    codes = {report.exit_code for report in reports}
    return 1 if 1 in codes else max(codes)


# ---------------------------------------------------------------------------------------------------------------------
# verifying


def _reports(spec: str, options: dict[str, Any], context: click.Context) -> Iterator[tuple[Any, str]]:
    """The report of each case, and the command that makes it again."""
    from ..errors import InputError
    from ..verify.subjects import parse

    kind = spec.partition(":")[0]
    source = context.get_parameter_source
    chosen = {name for name in options if source(name) not in (None, click.core.ParameterSource.DEFAULT)}
    subject = parse(
        spec, dtype=options["dtype"], mapping=options["mapping"],
        model=options["model_dir"] if kind == "onnx" else None,
    )  # fmt: skip
    if not subject.live and (options["cases"] > 1 or options["shrink"]):
        name = "--cases" if options["cases"] > 1 else "--shrink"
        raise InputError(f"{spec}: {name} asks again and again, and a dump can't be asked; leave it out")
    if options["feed"] and not hasattr(subject, "answer_step"):
        raise InputError(f"{spec}: --feed needs a subject that can do single steps (answer_step), and it can't")
    once = _Once()
    for seed in range(options["seed"], options["seed"] + options["cases"]):
        with render.working("making the case") as show:
            one = {**options, "seed": seed}
            case = _case(subject, kind, one, chosen)
            yield _report(_Shown(subject, show), case, one, once), _replay(spec, one, chosen)


def _case(subject: Any, kind: str, options: dict[str, Any], chosen: set[str]) -> Any:
    """The case that the options mean; where they leave it open, one that the subject can compute."""
    from ..verify.meant import case_for, case_of_texts

    if kind == "onnx" and options["file"] and not options["config"]:
        texts = tuple(read_texts((), options["file"]))
        return case_of_texts(subject, options["model_dir"], texts, options["seed"], choices=options["choices"])
    own_model = options["model_dir"] if kind != "onnx" else None
    own_choice = ("dialect", "edge", "optimizer", "step", "head", "variant", "labels", "choices")
    generated = {name: options[name] for name in own_choice if options[name]}
    if options["numerics"]:
        generated["numerics"] = numerics_of(options["numerics"])
    by_hand = chosen & {"seed", "size", "numerics", *own_choice}
    if own_model or options["config"] or options["file"] or (not subject.live and by_hand):
        return case_of(options)
    if generated.get("optimizer") == "none":
        generated["optimizer"] = None
    return case_for(subject, options["seed"], size=options["size"], **generated)


class _Once:
    """Whether the cause is looked for: in the first case that diverges at a kind of tensor. Others that do will have
    the same one, and the search takes longer than the rest."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, report: Any) -> bool:
        from ..verify.graph.axes import kind

        first = kind(report.first or "")
        new = first not in self._seen
        self._seen.add(first)
        return new


def _report(subject: Any, case: Any, options: dict[str, Any], once: _Once) -> Any:
    from ..verify import check

    wanted = [name.strip() for names in options["probes"] for name in names.split(",") if name.strip()]
    asked = {"precision": options["precision"], "wanted": wanted, "only": options["only"], "feed": options["feed"]}
    diagnosis = once if not options["no_diagnosis"] else False
    unseen = options["blind_spots"]
    report = check(subject, case, **asked, diagnosis=False if options["shrink"] else diagnosis, blind_spots=unseen)
    if not options["shrink"] or report.verdict != "diverges":
        return report
    from ..verify.shrinking import smallest

    return check(subject, smallest(subject, case, report, **asked), **asked, diagnosis=diagnosis)


class _Shown:
    """A subject that says what is going on. A command's precision is known once it has answered, so it is looked up
    whenever it is asked for."""

    def __init__(self, subject: Any, show: Any) -> None:
        self._subject, self.show = subject, show
        self.name, self.live = subject.name, subject.live
        if hasattr(subject, "answer_step"):
            self.answer_step = subject.answer_step

    @property
    def precision(self) -> str | None:
        """What the subject declares."""
        found: str | None = self._subject.precision
        return found

    def answer(self, case: Any, wanted: Any = None) -> Any:
        """The subject's answers."""
        self.show(f"asking {self.name}: {case.name}")
        answers = self._subject.answer(case, wanted)
        self.show(f"judging {len(answers.values)} tensors: {case.name}")
        return answers


def _replay(spec: str, options: dict[str, Any], chosen: set[str]) -> str:
    """The command line that makes the report of this one case again."""
    words = ["bertref", "verify", spec]
    if not spec.startswith("dump:") or "seed" in chosen:
        words += ["--seed", str(options["seed"])]
    for name in sorted(chosen - {"seed", "cases", "model_dir", *FLAGS}):
        values = options[name] if isinstance(options[name], tuple) else (options[name],)
        words += [word for value in values for word in (f"--{name}", str(value))]
    if options["model_dir"]:
        words += ["--model", options["model_dir"]]
    words += [f"--{name.replace('_', '-')}" for name in FLAGS if options[name]]
    return shlex.join(words)


# ---------------------------------------------------------------------------------------------------------------------
# files


def _check_places(files: list[Path]) -> None:
    """Before any work: whether the files can be written."""
    from ..errors import InputError

    for path in files:
        if path.is_dir() or not path.resolve().parent.is_dir():
            what = "is a folder" if path.is_dir() else "its folder does not exist"
            raise InputError(f"{path}: {what}; name a file to write")


def _write(reports: list[Any], replays: list[str], html: str | None, junit: str | None) -> None:
    from ..plumbing.files import write_file

    if html:
        from ..verify.report.to_html import to_html

        write_file(Path(html), to_html(reports, replays).encode("utf-8"))
        render.message(f"{html}: the report as a page")
    if junit:
        from ..verify.report.to_junit import to_junit

        write_file(Path(junit), to_junit(reports, replays))
        render.message(f"{junit}: {len(reports)} test suites for JUnit")


def _write_error(junit: str, subject: str, message: str) -> None:
    from ..plumbing.files import write_file
    from ..verify.report.to_junit import error_to_junit

    write_file(Path(junit), error_to_junit(subject, message))
