"""Runs on text: its vocabulary, given or learnt, and the text as ids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ...checkpoint import latest
from ...data.pretraining.corpus import Corpus, is_corpus
from ...data.pretraining.documents import Document, read_documents
from ...data.pretraining.python_topics import python_topics
from ...data.pretraining.shards import prepare
from ...errors import InputError
from ...text import Tokenizer, train_tokenizer
from ..report import Report
from .options import PretrainOptions
from .origin import Origin


def given_tokenizer(options: PretrainOptions, origin: Origin | None) -> Tokenizer | None:
    """The tokenizer of `--init`, or that of `--vocab`; if both are given they have to have one vocabulary."""
    given = Tokenizer.open(options.vocab, lower_case=options.lower_case) if options.vocab else None
    found = origin.tokenizer if origin else given
    if origin and given and given.vocab.sha256 != origin.tokenizer.vocab.sha256:
        raise InputError(
            f"--vocab {options.vocab}: is another vocabulary ({given.vocab.size} tokens) than that of --init "
            f"{origin.name} ({origin.tokenizer.vocab.size} tokens); leave --vocab out"
        )
    if found:
        found.vocab.require_specials()
    return found


def tokenizer_of(
    options: PretrainOptions, origin: Origin | None, made: Tokenizer, where: object, report: Report
) -> Tokenizer:
    """The tokenizer of `--init`, or the one that `made` the tokens in `where`.

    Raises `InputError` if `--cased` or `--init` has another casing than the tokens. (A run with a checkpoint goes on
    and is told so: version 0.1.0 took no notice of what the tokens were made with.)
    """
    kinds = {True: "lower-cased", False: "cased"}
    said = None
    if origin is not None and origin.tokenizer.lower_case != made.lower_case:
        said = f"its text is {kinds[made.lower_case]}, but --init {origin.name} is {kinds[not made.lower_case]}"
        remedy = "prepare it again"
    elif origin is None and made.lower_case and not options.lower_case:
        said, remedy = "its text is lower-cased, which --cased contradicts", "leave --cased out, or prepare it again"
    if said and latest(Path(options.out)) is None:
        raise InputError(f"{where}: {said}; {remedy}")
    if said:
        report("message", {"text": f"{where}: {said}."})
    return origin.tokenizer if origin else made


def open_text(
    options: PretrainOptions, origin: Origin | None, given: Tokenizer | None, out: Path, report: Report, kind: str
) -> tuple[Tokenizer, Corpus]:
    """The tokenizer (the `given` one, or one of this kind trained on the text) and the tokenised corpus: prepared ones
    are opened, text is tokenised into `out`/data once."""
    vocab = given.vocab if given else None
    prepared = [path for path in options.corpus if is_corpus(path)]
    if prepared:
        if len(prepared) < len(options.corpus):
            other = next(path for path in options.corpus if path not in prepared)
            raise InputError(f"{other}: is not a prepared corpus, but {prepared[0]} is; give only one kind")
        corpus = Corpus.open(prepared, vocab)
        return tokenizer_of(options, origin, corpus.tokenizer, prepared[0], report), corpus
    folder = out / "data"
    if is_corpus(folder):
        corpus = Corpus.open(folder, vocab if origin else None)
        return tokenizer_of(options, origin, corpus.tokenizer, folder, report), corpus
    if not options.corpus:
        report("message", {"text": "No corpus given: learning from the Python language reference (pydoc_data.topics)."})
    tokenizer = given or _trained(options, report, kind)
    prepare(_documents(options), tokenizer, folder, progress=lambda counts: report("prepare", counts))
    return tokenizer, Corpus.open(folder, tokenizer.vocab)


def _documents(options: PretrainOptions) -> Iterator[Document]:
    if not options.corpus:
        return python_topics()
    return read_documents(
        options.corpus, layout=cast(Any, options.documents), sentences=cast(Any, options.sentences)
    )


def _trained(options: PretrainOptions, report: Report, kind: str) -> Tokenizer:
    report(
        "message", {"text": f"No vocabulary given: training one of at most {options.vocab_size} tokens on the text."}
    )
    sentences = (sentence for document in _documents(options) for sentence in document.sentences)
    return train_tokenizer(sentences, options.vocab_size, kind, lower_case=options.lower_case)
