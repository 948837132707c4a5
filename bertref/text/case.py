"""Whether a checkpoint reads lower-cased text, told by its name.

Google's releases say it in no file, only in the folder's name: `uncased_L-12_H-768_A-12`, `cased_L-24_H-1024_A-16`.
A model that is given words in the wrong case does not fail, it only answers worse; so the original compares the name
with the option, and so does this.

Source: google-research/bert, `tokenization.py`, `validate_case_matches_checkpoint`. It lists the seven releases of
2018; those of other sizes, and those masked by whole words ("wwm"), came later and are judged alike.
"""

import re
from os import fspath
from pathlib import Path

from ..errors import InputError

_SIZES = r"_L-\d+_H-\d+(_A-\d+)?"
_LOWER = re.compile(r"((wwm_)?uncased|multilingual|chinese(_wwm(_ext)?)?)" + _SIZES)
_CASED = re.compile(r"(wwm_|multi_)?cased" + _SIZES)
_FILE = "bert_model.ckpt"


def lower_case_of(checkpoint: str | Path) -> bool | None:
    """Whether the name of a checkpoint says that its text is lower-cased; None if it says nothing.

    A name (`uncased_L-12_H-768_A-12`), the path of a folder so called, or that of `bert_model.ckpt*` in it.
    """
    parts = [part for part in fspath(checkpoint).replace("\\", "/").split("/") if part]
    if len(parts) > 1 and parts[-1].startswith(_FILE):
        parts.pop()
    name = parts[-1] if parts else ""
    if _LOWER.fullmatch(name):
        return True
    return False if _CASED.fullmatch(name) else None


def check_case(do_lower_case: bool, checkpoint: str | Path) -> None:
    """Refuses letters in a case that contradicts the checkpoint's name. Raises `InputError` naming both."""
    expected = lower_case_of(checkpoint)
    if expected is not None and expected != do_lower_case:
        kind = "an uncased" if expected else "a cased"
        raise InputError(
            f"{checkpoint}: by its name it is {kind} model, but lower_case is {do_lower_case}; set it to {expected}, "
            "or the words will not be those that the model has learnt"
        )


def validate_case_matches_checkpoint(lower_case: bool, checkpoint: str | Path | None) -> None:
    """`check_case` for the original's argument: only a path to `bert_model.ckpt` in a folder is judged."""
    match = re.match(rf"^.*?([A-Za-z0-9_-]+)/{re.escape(_FILE)}", fspath(checkpoint or "").replace("\\", "/"))
    if match:
        check_case(lower_case, match.group(1))
