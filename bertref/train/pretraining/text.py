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
from ...text import SPECIAL_TOKENS, Tokenizer, Vocab, load_vocab, train_vocab
from ..report import Report
from .options import PretrainOptions
from .origin import Origin


def given_vocab(options: PretrainOptions, origin: Origin | None) -> Vocab | None:
    """The vocabulary of `--init`, or that of `--vocab`; if both are given they have to be one."""
    given = load_vocab(options.vocab, require=SPECIAL_TOKENS) if options.vocab else None
    if origin is None:
        return given
    own = origin.tokenizer.vocab
    if given is not None and given.sha256 != own.sha256:
        raise InputError(
            f"--vocab {options.vocab}: is another vocabulary ({given.size} tokens) than that of --init {origin.name} "
            f"({own.size} tokens); leave --vocab out"
        )
    for token in SPECIAL_TOKENS:
        own.id_of(token)
    return own


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
    options: PretrainOptions, origin: Origin | None, given: Vocab | None, out: Path, report: Report
) -> tuple[Tokenizer, Corpus]:
    """The tokenizer (of the vocabulary `given`, if there is one) and the tokenised corpus: prepared ones are opened,
    text is tokenised into `out`/data once."""
    prepared = [path for path in options.corpus if is_corpus(path)]
    if prepared:
        if len(prepared) < len(options.corpus):
            other = next(path for path in options.corpus if path not in prepared)
            raise InputError(f"{other}: is not a prepared corpus, but {prepared[0]} is; give only one kind")
        corpus = Corpus.open(prepared, given)
        return tokenizer_of(options, origin, corpus.tokenizer, prepared[0], report), corpus
    folder = out / "data"
    if is_corpus(folder):
        corpus = Corpus.open(folder, given if origin else None)
        return tokenizer_of(options, origin, corpus.tokenizer, folder, report), corpus
    if not options.corpus:
        report("message", {"text": "No corpus given: learning from the Python language reference (pydoc_data.topics)."})
    vocab = given or _trained_vocab(options, report)
    tokenizer = origin.tokenizer if origin else Tokenizer(vocab, lower_case=options.lower_case)
    prepare(_documents(options), tokenizer, folder, progress=lambda counts: report("prepare", counts))
    return tokenizer, Corpus.open(folder, vocab)


def _documents(options: PretrainOptions) -> Iterator[Document]:
    if not options.corpus:
        return python_topics()
    return read_documents(
        options.corpus, layout=cast(Any, options.documents), sentences=cast(Any, options.sentences)
    )


def _trained_vocab(options: PretrainOptions, report: Report) -> Vocab:
    report(
        "message", {"text": f"No vocabulary given: training one of at most {options.vocab_size} tokens on the text."}
    )
    sentences = (sentence for document in _documents(options) for sentence in document.sentences)
    return train_vocab(sentences, options.vocab_size, lower_case=options.lower_case)
