"""`python -m bertref.golden.generate [NAME ...]`: makes goldens again, all or those named."""

import sys
from collections.abc import Callable
from functools import partial

from . import models, ops, original_instances, tensorflow_checkpoint, variants

GENERATORS: dict[str, Callable[[], None]] = {
    **{f"ops/{op}": partial(ops.generate, op) for op in ops.PLANS},
    **{f"model/{dialect}": partial(models.generate, dialect) for dialect in models.DIALECTS},
    **{f"model/{variant}": partial(variants.generate, variant) for variant in variants.GOLDENS},
    original_instances.NAME: original_instances.generate,
    **{name: partial(tensorflow_checkpoint.generate, name) for name in tensorflow_checkpoint.SAVED},
}


def main(names: list[str]) -> int:
    """Makes the goldens called `names`, or all; returns the exit code."""
    unknown = sorted(set(names) - set(GENERATORS))
    if unknown:
        print(f"no golden {', '.join(unknown)}; there are {', '.join(GENERATORS)}", file=sys.stderr)
        return 2
    for name in names or GENERATORS:
        GENERATORS[name]()
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
