"""Sums and parts of arrays of GPUs by NCCL, from GPU to GPU, where every process computes on a GPU of its own.

NCCL takes torch's tensors and has a stream of its own. It begins when torch's current stream has come to the call; that
stream, not the host, is what is held up when a message is waited for. CuPy lends its arrays by the DLPack protocol, in
which whoever takes an array names the stream that will use it, and the lender makes that stream wait for its own:

    torch.from_dlpack(array)      torch's stream goes on after CuPy's
    cupy.from_dlpack(tensor)      CuPy's stream goes on after torch's, and so after the message

NCCL does not see that a process has ended: the next message of gloo does, at the end of a step, or torchrun, which ends
those that wait.

Source: docs.pytorch.org, "torch.distributed"; dmlc.github.io/dlpack, "Python Specification for DLPack".
"""

from typing import Any

from ...arrays import Array
from .world import Handle


def gpu_of(torch: Any, array: Array) -> Any | None:
    """The GPU of a tensor of torch or an array of CuPy, as a device of torch; None for what lies elsewhere."""
    if isinstance(array, torch.Tensor):
        return array.device if array.device.type == "cuda" else None
    return torch.device("cuda", array.device.id) if _is_cupys(array) else None


def name_of(torch: Any, distributed: Any, gpu: Any) -> str:
    """What no other GPU is called, on whichever machine; "" where this build of torch can't use NCCL."""
    if not (torch.cuda.is_available() and distributed.is_nccl_available()):
        return ""
    return str(torch.cuda.get_device_properties(gpu).uuid)


def _is_cupys(array: Array) -> bool:
    return type(array).__module__.partition(".")[0] == "cupy"


class Nccl:
    """The calls of `World` that have this name. `group` is a group of all processes, by NCCL."""

    def __init__(self, torch: Any, distributed: Any, group: Any) -> None:
        self._torch, self._distributed, self._group = torch, distributed, group

    def all_reduce(self, array: Array) -> Handle:
        tensor = self._tensor(array)
        return _Sent(array, tensor, self._distributed.all_reduce(tensor, group=self._group, async_op=True))

    def reduce_scatter(self, array: Array, part: Array) -> Handle:
        given, taken = self._tensor(array), self._tensor(part)
        work = self._distributed.reduce_scatter_tensor(taken, given, group=self._group, async_op=True)
        return _Sent(part, taken, work, given)

    def all_gather(self, array: Array, rank: int, size: int) -> Handle:
        tensor = self._tensor(array)
        own = tensor.view(size, -1)[rank]  # where NCCL would put it
        work = self._distributed.all_gather_into_tensor(tensor, own, group=self._group, async_op=True)
        return _Sent(array, tensor, work)

    def _tensor(self, array: Array) -> Any:
        """The same memory as torch's."""
        return self._torch.from_dlpack(array) if _is_cupys(array) else array


class _Sent:
    """A message on its way, whose result is in the memory of `array` and `tensor`; `given` is held for as long."""

    def __init__(self, array: Array, tensor: Any, work: Any, given: Any = None) -> None:
        self._array, self._tensor, self._work, self._given = array, tensor, work, given

    def wait(self) -> None:
        self._work.wait()
        if _is_cupys(self._array):
            import cupy

            cupy.from_dlpack(self._tensor)
