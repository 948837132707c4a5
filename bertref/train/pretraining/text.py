"""Runs on text: its vocabulary, given or learnt, and the text as ids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

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


def tokenizer_of(options: PretrainOptions, origin: Origin | None, vocab: Vocab) -> Tokenizer:
    """The tokenizer of `--init`, or one for the vocabulary."""
    return origin.tokenizer if origin else Tokenizer(vocab, lower_case=options.lower_case)


def open_text(
    options: PretrainOptions, origin: Origin | None, given: Vocab | None, out: Path, report: Report
) -> tuple[Vocab, Corpus]:
    """The vocabulary (`given`, if there is one) and the tokenised corpus: prepared ones are opened, text is tokenised
    into `out`/data once."""
    prepared = [path for path in options.corpus if is_corpus(path)]
    if prepared:
        if len(prepared) < len(options.corpus):
            other = next(path for path in options.corpus if path not in prepared)
            raise InputError(f"{other}: is not a prepared corpus, but {prepared[0]} is; give only one kind")
        corpus = Corpus.open(prepared, given)
        return corpus.vocab, corpus
    folder = out / "data"
    if is_corpus(folder):
        corpus = Corpus.open(folder, given if origin else None)
        return corpus.vocab, corpus
    if not options.corpus:
        report("message", {"text": "No corpus given: learning from the Python language reference (pydoc_data.topics)."})
    vocab = given or _trained_vocab(options, report)
    tokenizer = tokenizer_of(options, origin, vocab)
    prepare(_documents(options), tokenizer, folder, progress=lambda counts: report("prepare", counts))
    return vocab, Corpus.open(folder, vocab)


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
