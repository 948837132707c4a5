"""Watches a torch model compute: values by module hooks, gradients by tensor hooks, attention by watching functions.

Module hooks see what enters and leaves a module. The scores and probabilities of attention are neither, so a
`TorchFunctionMode` looks at the functions that an attention module calls: the last product before the softmax makes
the scores, the softmax the probabilities. A fused attention calls neither, and then they are not seen. The same mode
sees the two cross-entropies, which Hugging Face computes inside the model's forward.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy.typing as npt
import torch
from torch.overrides import TorchFunctionMode

from ...data.pretraining.batch import PretrainingBatch
from ..records import Arrays
from .arrays import gather_prediction_gradients, gather_predictions, to_numpy

PRODUCTS = frozenset(
    "matmul __matmul__ __rmatmul__ bmm baddbmm einsum mul __mul__ __rmul__ mul_ __imul__ multiply div __truediv__ "
    "div_ __itruediv__ true_divide divide".split()
)
"""Functions whose (B, A, S, S) result may be the scores: the product itself, and its scaling."""

Tensor = Any


class TorchWatch(TorchFunctionMode):  # type: ignore[misc]
    """Active during one forward pass; the gradients arrive in the backward pass that follows.

    `values` and `gradients` are NumPy arrays in canonical shapes; the MLM probes are gathered at the predictions.
    A gradient that never arrives is not among `gradients`: `expected` names all that were waited for. `losses`: the
    cross-entropies that are computed are those of pre-training.
    """

    def __init__(self, batch: PretrainingBatch, wanted: Collection[str] | None, *, losses: bool = True) -> None:
        super().__init__()
        self.values: Arrays = {}
        self.gradients: Arrays = {}
        self.expected: dict[str, tuple[int, ...]] = {}
        self.notes: list[str] = []
        self._batch, self._losses = batch, losses
        self._wanted = None if wanted is None else frozenset(wanted)
        self._attention = ""  # the prefix of the attention module that is running
        self._scores: tuple[Tensor, npt.NDArray[Any]] | None = None
        self._hooks = ExitStack()

    # ---- what a probe is ---------------------------------------------------------------------------------------

    def see(self, name: str, tensor: Tensor, value: npt.NDArray[Any] | None = None) -> None:
        """Records a probe, and its gradient when it comes. The first sight counts.

        `value` is what the tensor held when it was made, for one that has been changed in place since.
        """
        if name in self.values or name in self.expected or not isinstance(tensor, torch.Tensor):
            return
        over_all = name.startswith("mlm.") and tensor.ndim == 3
        over_all = over_all and tuple(tensor.shape[:2]) == self._batch.input_ids.shape
        if self._wants(name):
            value = to_numpy(tensor, name) if value is None else value
            self.values[name] = gather_predictions(value, self._batch) if over_all else value
        if tensor.requires_grad and self._wants(f"grad:{name}"):
            shape = tuple(tensor.shape)
            if over_all:
                shape = (*self._batch.masked_lm_positions.shape, *shape[2:])
            self.expected[name] = shape
            tensor.register_hook(self._catch(name, over_all))

    def _wants(self, name: str) -> bool:
        return self._wanted is None or name in self._wanted

    def _catch(self, name: str, over_all: bool) -> Callable[[Tensor], None]:
        def catch(gradient: Tensor) -> None:
            value = to_numpy(gradient, f"grad:{name}")
            self.gradients[name] = gather_prediction_gradients(value, self._batch) if over_all else value

        return catch

    # ---- module hooks ------------------------------------------------------------------------------------------

    def inputs_of(self, module: Any, names: Sequence[str]) -> None:
        """The first argument of the module is the probe: of its first call the first, and so on."""
        calls = iter(names)

        def hook(_: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            first = args[0] if args else next(iter(kwargs.values()), None)
            if name := next(calls, None):
                self.see(name, first)

        self._keep(module.register_forward_pre_hook(hook, with_kwargs=True))

    def output_of(self, module: Any, names: Sequence[str]) -> None:
        """The module's output, or the first of its outputs, is the probe: of its first call the first, and so on."""
        calls = iter(names)

        def hook(_: Any, args: tuple[Any, ...], output: Any) -> None:
            if name := next(calls, None):
                self.see(name, output[0] if isinstance(output, tuple) else output)

        self._keep(module.register_forward_hook(hook))

    def broadcast_output_of(self, module: Any, name: str) -> None:
        """The same for a module that answers once for all rows of the batch, (1, ...): made (B, ...), so that each
        row's gradient can be seen. The numbers don't change."""

        def hook(_: Any, args: tuple[Any, ...], output: Any) -> Any:
            if output.ndim == 3 and output.shape[0] == 1:
                output = output.expand(len(self._batch), *output.shape[1:])
            self.see(name, output)
            return output

        self._keep(module.register_forward_hook(hook))

    def attention(self, module: Any, prefixes: Sequence[str]) -> None:
        """Scores and probabilities that are computed while this module runs, for the first time under the first of the
        prefixes, and so on."""
        calls = iter(prefixes)

        def enter(_: Any, args: tuple[Any, ...]) -> None:
            self._attention, self._scores = next(calls, ""), None

        def leave(_: Any, args: tuple[Any, ...], output: Any) -> None:
            probs = f"{self._attention}probs"
            seen = not self._attention or probs in self.values
            if not seen and isinstance(output, tuple) and len(output) > 1:
                self.see(probs, output[1])
            self._attention = ""

        self._keep(module.register_forward_pre_hook(enter))
        self._keep(module.register_forward_hook(leave))

    def _keep(self, handle: Any) -> None:
        self._hooks.callback(handle.remove)

    def remove_hooks(self) -> None:
        """Takes every hook off the model again."""
        self._hooks.close()

    # ---- functions ---------------------------------------------------------------------------------------------

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name == "cross_entropy" and self._losses:
            self._see_loss(args[0] if args else (kwargs or {}).get("input"), result)
        elif self._attention:
            self._see_attention(name, result)
        return result

    def _see_loss(self, logits: Tensor, loss: Tensor) -> None:
        """A mean over rows of 2 logits is the sentence loss, one over rows of V logits the word loss."""
        if isinstance(logits, torch.Tensor) and loss.ndim == 0:
            self.see("loss.nsp" if logits.shape[-1] == 2 else "loss.mlm", loss)

    def _see_attention(self, name: str, result: Tensor) -> None:
        if name == "scaled_dot_product_attention":
            self.notes.append("scores and probs lie inside torch's fused attention; attention=eager shows them")
        if not isinstance(result, torch.Tensor) or result.ndim != 4:
            return
        B, S = self._batch.input_ids.shape
        if name in PRODUCTS and tuple(result.shape[2:]) == (S, S) and result.shape[0] == B:
            if f"{self._attention}probs" not in self.values and f"{self._attention}probs" not in self.expected:
                self._scores = (result, to_numpy(result))
        elif name in ("softmax", "_softmax"):
            if self._scores is not None:
                self.see(f"{self._attention}scores", *self._scores)
            self.see(f"{self._attention}probs", result)
            self._scores = None
