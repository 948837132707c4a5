"""Which lines of the package are there for RoBERTa, ALBERT and DistilBERT alone, and how many: read from the source.

A line of code is one that is not blank, and no comment, docstring or import. It counts

- in a definition of `WHOLE`, every line;
- elsewhere, where it names a setting or a function of the variants (`WORDS`: every field of `Variant`, every setting
  that BERT hasn't got, and whatever a module imports from `bertref.variants`, so that a new one counts without being
  listed) or a variant; what a condition or a loop that names one does counts with it;
- and the lines of `ALSO`, which name none of them.

So a line that BERT alone would have as well, in another form, counts, too.

Five rooms don't count, which are where a variant belongs: texts, names, the topology, heads and objectives. Data are
counted apart: tables of settings (`TABLES`) without their functions, constants that are literals, and the entries of
the causes that `verify` can name (`HYPOTHESES`) without their functions.

    python -m tests.variant_lines        the numbers; with -v the lines, too
"""

import ast
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path

from bertref.variants import OWN, VARIANTS, Variant

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("bertref", "backends", "cli")
ROOMS = (
    "bertref/text/", "bertref/heads/", "bertref/objectives/", "bertref/topology.py", "bertref/row.py",
    "bertref/checkpoint/names.py", "bertref/checkpoint/naming.py", "bertref/config_keys.py",
    "bertref/data/pretraining/sentence_order.py",
)  # fmt: skip
"""Texts, heads, objectives, the topology, and names: of tensors, and of keys of a config.json. What the objective of
sentences' order asks of texts stands with the data."""
TABLES = ("bertref/variants.py", "bertref/presets.py")

GENERAL = {"model_type", "title", "classes", "keys", "own", "fixed", "defaults", "numerics"}
"""Fields of `Variant` whose names are words of other things, too; who reads them says `variant` beside them."""
WORDS = frozenset(
    {field.name for field in fields(Variant)} - GENERAL | OWN
    | {"variant", "Variant", "VARIANTS", "stored_layer", "stored_layers", "first_position", "at_branch", "projection"}
    | {"naming_of_folder", "naming_of_tensors", "positions_from_padding", "counted_ids"}
    | {"ordered_spans", "sentence_order", "POOLER_SITE", "PROJECTION", "embeddings.projection"}
)
OTHERWISE = (
    "bertref/verify/emulation/", "bertref/bench/sides/torch_training.py", "bertref/bench/sides/huggingface.py",
    "bertref/bench/sides/plain_torch.py", "bertref/inference/sentence_transformers/",
    "bertref/layers/self_attention.py", "bertref/checkpoint/tensorflow/bundle.py", "bertref/optim/",
)  # fmt: skip
"""Where these words mean something else: variants of an op or an optimiser, projections of attention or of a vector."""
TITLES = tuple({*VARIANTS, *(variant.title for variant in VARIANTS.values())} - {"bert", "BERT"})

WHOLE: dict[str, tuple[str, ...]] = {
    "bertref/variants.py": ("settings",),
    "bertref/config.py": ("variant", "first_position", "max_length", "groups", "stored_layers", "stored_layer",
                          "_UNSAID"),
    "bertref/layers/positions.py": ("position_ids",),
    "bertref/layers/settings.py": ("at_branch",),
    "bertref/model.py": ("_stored",),
    "bertref/checkpoint/folder.py": ("read_weights_back",),
    "bertref/onnx_export/namespace.py": ("cumulative_sum",),
    "bertref/train/pretraining/options.py": ("pairs", "size"),
    "bertref/train/pretraining/student.py": ("STUDENTS",),
    "bertref/verify/cases/case.py": ("_own_settings", "OF_NETWORK"),
    "bertref/verify/diagnosis/families/embeddings.py": ("_over_padding", "_with_row"),
    "bertref/verify/diagnosis/families/sharing.py": (
        "WHERE", "ADDED", "_is_shared", "_in_layers", "_owners", "_of_layer", "_layers", "_times", "_lost", "_averaged",
        "_in_each_layer",
    ),
    "bertref/verify/emulation/rounding.py": ("cumulative_sum",),
    "bertref/verify/graph/arithmetic.py": ("_relu", "_relu_back"),
    "bertref/verify/report/formulas.py": ("IDS",),
    "bertref/verify/subjects/backend_steps.py": ("_learnt",),
    "bertref/verify/subjects/backend_head_steps.py": ("ACTIVATIONS",),
    "bertref/verify/subjects/torch_losses.py": ("SENTENCES",),
    "bertref/verify/subjects/torch_model.py": ("_class",),
    "cli/render.py": ("PAIRS", "VERBS"),
}  # fmt: skip
"""Module -> its functions, classes and constants that are there for variants alone."""
HYPOTHESES = (
    "sharing.other_layer", "sharing.gradient", "sharing.averaged", "sharing.stepped_in_each_layer",
    "embeddings.positions_over_padding", "embeddings.types_added",
)  # fmt: skip
"""Causes that no BERT can have."""
ALSO: dict[str, tuple[str, ...]] = {
    "backends/contract.py": ('"cumulative_sum",',),
    "bertref/bench/inputs.py": ("config = replace(config, pad_token_id=PAD)",
                                'if config.type_vocab_size < 2 and job.command != "predict":',
                                'raise InputError(f"{job.config}: bench {job.command} needs two'),
    "bertref/bench/sides/huggingface.py": ("self.names =",),
    "bertref/convert/proof.py": ("taken = ", "arguments = {name: tensor for", 'renamed["sop_logits"]'),
    "bertref/data/batch.py": ("if config.type_vocab_size:",),
    "bertref/data/pretraining/pipeline.py": ('if self._in_pairs == "order":',),
    "bertref/layers/embeddings.py": ('if f"{name}_embeddings.weight" in p:', 'for name in ("token_type", "position"):',
                                     "if name in looked_up:"),
    "bertref/layers/pooler.py": ("kept, dropped = ", "dfirst = "),
    "bertref/layout.py": ("single = ", "hint = ", "if not config.type_vocab_size:"),
    "bertref/model.py": ("layers, stored = ", "stored: list[int]", "for name, grad in found.items(", "grads[name] = "),
    "bertref/onnx_export/export.py": ("names = INPUTS", "types = others[0]"),
    "bertref/train/pretraining/setup.py": ('if options.pairs == "order":', 'raise InputError("records hold no pairs'),
    "bertref/train/pretraining/student.py": (
        "if TYPES in params and not", "params[POSITIONS] = ", "del params[TYPES]", "if wanted.model_type not in",
        "if epsilon != ", 'raise InputError(f"{name}: has the epsilon', "if 0 < saved.config.type_vocab_size",
        'raise InputError(f"{name}: knows',
    ),
    "bertref/verify/cases/another.py": ('if "E" in case.origin',),
    "bertref/verify/diagnosis/families/tools.py": ("wide = scene.replay.graph.axes(found)",),
    "bertref/verify/graph/arithmetic.py": (
        'case ("positions_from_padding",):', "padding = self._s.config.pad_token_id",
        "real = self._batch.input_ids != padding", "return np.where(real, np.cumsum",
    ),
    "bertref/verify/report/formulas.py": ('"relu": ',),
    "bertref/verify/subjects/backend_steps.py": ("tables = [",),
    "bertref/verify/subjects/torch_losses.py": ("sentences = next(", "pairs = output.sop_logits"),
    "bertref/verify/subjects/torch_model.py": ("probes: dict[", "probes.setdefault(", "for (name, side), names in"),
    "bertref/verify/subjects/torch_run.py": ("taken = ", "names = ("),
    "bertref/verify/subjects/torch_watch.py": ("calls = iter(", "if name := next(calls", "seen = not self._attention"),
}  # fmt: skip
"""Module -> the beginnings of lines that are there for variants and don't say so."""
@dataclass(frozen=True)
class Module:
    """A module outside of the rooms: its path, its lines, and its tree."""

    path: str
    lines: list[str]
    tree: ast.Module

    @classmethod
    def of(cls, path: str, source: str) -> "Module":
        return cls(path, source.split("\n"), ast.parse(source))

    @cached_property
    def code(self) -> set[int]:
        """The numbers of the lines of code."""
        skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
                   tokenize.ENDMARKER)  # fmt: skip
        tokens = tokenize.generate_tokens(io.StringIO("\n".join(self.lines)).readline)
        found = {n for t in tokens if t.type not in skipped for n in range(t.start[0], t.end[0] + 1)}
        for node in ast.walk(self.tree):
            match node:
                case ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant(value=str())):
                    found -= span(node)
        return found

    def beginning(self, texts: Iterable[str]) -> set[int]:
        """The numbers of the lines that begin so."""
        return {n for n, line in enumerate(self.lines, 1) if line.strip().startswith(tuple(texts))}

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Functions, classes and constants by their names; of several of a name the first."""
        found: dict[str, ast.stmt] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.setdefault(node.name, node)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                found.setdefault(word_of(node.targets[0] if isinstance(node, ast.Assign) else node.target), node)
        return found

    @cached_property
    def hypotheses(self) -> dict[str, ast.Call]:
        """Calls whose first argument is a name of `HYPOTHESES`, by that."""
        calls = (node for node in ast.walk(self.tree) if isinstance(node, ast.Call) and node.args)
        return {word_of(call.args[0]): call for call in calls if word_of(call.args[0]) in HYPOTHESES}


@cache
def modules() -> tuple[Module, ...]:
    """All modules but those of the rooms and of the goldens, whose oracles are tests."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith((*ROOMS, "bertref/golden/", "bertref/backends/", "bertref/cli/")):
                found.append(Module.of(name, path.read_text(encoding="utf-8")))
    return tuple(found)


def span(node: ast.AST) -> set[int]:
    """The numbers of a node's lines."""
    return {*range(node.lineno, (node.end_lineno or 0) + 1)}  # type: ignore[attr-defined]


def word_of(node: ast.AST) -> str:
    """The word that a node is, "" if it is none."""
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word) | ast.arg(arg=word):
            return word
        case ast.keyword(arg=str(word)) | ast.Constant(value=str(word)):
            return word
    return ""


def imported(tree: ast.Module) -> set[str]:
    """What a module imports from `bertref.variants`."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "variants")
    return {alias.name for node in found for alias in node.names}


def own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement, without those of the statements inside."""
    todo = list(ast.iter_child_nodes(statement))
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.stmt | ast.match_case | ast.ExceptHandler):
            yield node
            todo += ast.iter_child_nodes(node)


def extent(statement: ast.stmt, word: ast.AST) -> set[int]:
    """The lines that count with a word of a statement: its own, and those that a condition or a loop decides about.
    A text in the head of a loop decides nothing."""
    decides = ast.If | ast.While if isinstance(word, ast.Constant) else ast.If | ast.While | ast.For | ast.With
    if isinstance(statement, decides):
        return {*range(statement.lineno, (statement.body[-1].end_lineno or 0) + 1)}
    return span(word)


def by_word(module: Module) -> set[int]:
    """The lines of a module that name variants, and what they decide about; of a text those that name one."""
    words, text = WORDS | imported(module.tree), "\n".join(module.lines)
    found = set[int]()
    if not any(word in text for word in (*words, *TITLES)):
        return found
    for statement in ast.walk(module.tree):
        for node in own_nodes(statement) if isinstance(statement, ast.stmt) else ():
            if word_of(node) in words:
                found |= extent(statement, node)
            elif isinstance(node, ast.Constant):
                found |= {n for n in span(node) if any(title in module.lines[n - 1] for title in TITLES)}
    return found


def data_of(module: Module) -> set[int]:
    """The numbers of the lines that are data of variants."""
    found = {n for node in module.tree.body if is_literal(node) for n in span(node)} & of_variants(module)
    found |= {n for call in module.hypotheses.values() for n in span(call)}
    if module.path in TABLES:
        functions = (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))
        found |= {*range(1, len(module.lines) + 1)} - {n for node in functions for n in span(node)}
    return found & module.code


def is_literal(statement: ast.stmt) -> bool:
    """Whether it gives a constant a value that is written out: texts, numbers, and tables of such."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return False
    try:
        ast.literal_eval(statement.value)
    except ValueError:
        return False
    return True


def of_variants(module: Module) -> set[int]:
    """The numbers of the lines, of code or data, that are there for variants alone."""
    found = set[int]() if module.path.startswith(OTHERWISE) else by_word(module)
    found |= {n for name in WHOLE.get(module.path, ()) for n in span(module.definitions[name])}
    return (found | module.beginning(ALSO.get(module.path, ()))) & module.code


def lines_of(module: Module) -> set[int]:
    """The numbers of the lines of code that are there for variants alone."""
    return of_variants(module) - data_of(module)


@cache
def counted() -> dict[str, int]:
    """Path -> how many lines of code are there for variants alone, where there are any."""
    numbers = {module.path: len(lines_of(module)) for module in modules()}
    return {path: number for path, number in numbers.items() if number}


if __name__ == "__main__":
    for each in modules():
        chosen = sorted(lines_of(each))
        if chosen:
            print(f"{len(chosen):4}  {each.path}")
        for number in chosen if "-v" in sys.argv else ():
            print(f"          {number}: {each.lines[number - 1].strip()[:140]}")
    print(f"{sum(counted().values()):4}  lines of code, and {sum(len(data_of(m)) for m in modules())} of data")
