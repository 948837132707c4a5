"""A pre-training run in this process, told as JSON lines: losses, norms, and the programs compiled so far.

    python -m tests.xla.trained OPTIONS        OPTIONS: JSON of `small_run.options` with the keys below

`stop_after`: steps to make before it is interrupted. `loss_scale`: the dynamic one's first value.
"""

import json
import sys
from pathlib import Path
from typing import Any

from bertref.precision import LossScale, Precision
from bertref.train import PretrainOptions, pretrain
from tests import small_run


def compiled() -> int | None:
    """How many programs XLA has compiled; None without torch_xla."""
    if "torch_xla" not in sys.modules:
        return None
    from torch_xla.debug import metrics

    return int(metrics.counter_value("UncachedCompile") or 0)


def devices() -> int | None:
    """How many devices the run has; None without torch_xla."""
    if "torch_xla" not in sys.modules:
        return None
    import torch_xla.runtime

    return int(torch_xla.runtime.global_runtime_device_count())


def tell(event: str, values: dict[str, Any]) -> None:
    kept = ("step", "loss", "gradient_norm", "updated", "masked_lm_loss")
    told = {"event": event, **{name: values[name] for name in kept if name in values}}
    print(json.dumps({**told, "compiled": compiled(), "devices": devices()}), flush=True)


def main() -> None:
    changes = json.loads(sys.argv[1])
    stop_after, scale = changes.pop("stop_after", 10**6), changes.pop("loss_scale", None)
    if scale is not None:
        Precision.initial_loss_scale = lambda self: LossScale(scale)  # type: ignore[method-assign]
    left = iter(range(stop_after - 1))
    folder = Path(changes.pop("folder"))
    pretrain(PretrainOptions(**small_run.options(folder, **changes)), tell, lambda: next(left, None) is None)


if __name__ == "__main__":
    main()
