"""torch on the device of a race: batches lie on the host and are brought there as a part of the work."""

from typing import Any

import torch

from ..job import CPU, Job


class TorchDevice:
    """The device of a job's backend."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        self.name = job.device
        self._half = job.peer_dtype == "bfloat16"

    def autocast(self) -> Any:
        """Half-precision products if the job says so."""
        return torch.autocast(self.name.partition(":")[0], dtype=torch.bfloat16, enabled=self._half)

    def on_host(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """Host arrays as tensors, in pinned memory where a GPU will fetch them, as data loaders give them."""
        tensors = {name: torch.from_numpy(array.copy(order="C")) for name, array in arrays.items()}
        return tensors if self.name == CPU else {name: tensor.pin_memory() for name, tensor in tensors.items()}

    def placed(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """The same on the device; the host does not wait for the copies."""
        return {name: tensor.to(self.name, non_blocking=True) for name, tensor in tensors.items()}

    def synchronize(self) -> None:
        """Waits until the device has done everything asked of it."""
        if self.name != CPU:
            torch.cuda.synchronize(self.name)
