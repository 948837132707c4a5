"""What is asked of torch.distributed for arrays of a GPU, and that no stream reads what another has not written yet: on
a stand-in for a GPU, whose streams know what has happened before they go on."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cupy
import numpy as np
import pytest
import torch

from bertref import backends
from bertref.errors import ProcessLost
from bertref.train.parallel.torchrun import PATIENCE, Gloo
from bertref.train.parallel.world import Handle


class Stream:
    """Work of a GPU that is done in order; `past` is what has happened before whatever is asked of it next."""

    def __init__(self) -> None:
        self.past: set[str] = set()

    def do(self, what: str) -> set[str]:
        """What has happened before it."""
        before = set(self.past)
        self.past.add(what)
        return before

    def after(self, other: "Stream") -> None:
        self.past |= other.past


class Lent:
    """An array, of which every library has its own class below; `name` says which memory it is."""

    def __init__(self, name: str, stream: Stream | None = None, gpu: int = 1, kind: str = "cuda") -> None:
        self.name, self.stream, self.device = name, stream, SimpleNamespace(type=kind, index=gpu, id=gpu)

    def __dlpack__(self, stream: Stream) -> str:
        """As the protocol has it: the stream of whoever takes it goes on after the lender's."""
        if self.stream is not None:
            stream.after(self.stream)
        return self.name


class Tensor(Lent):
    def view(self, *shape: int) -> list["Tensor"]:
        assert shape[1:] == (-1,)
        return [Tensor(f"{self.name}[{rank}/{shape[0]}]", self.stream) for rank in range(shape[0])]


class CupyArray(Lent):
    __module__ = "cupy"


class Machine:
    """A process with a GPU: torch, torch.distributed and CuPy as far as they are asked. `names` are the GPUs of all
    processes; `before` is what had happened before each message began."""

    def __init__(self, names: list[str], cuda: bool = True, here: bool = True) -> None:
        self.torchs, self.cupys, self.nccls = Stream(), Stream(), Stream()
        self.names, self.asked, self.before = names, [], {}  # type: ignore[var-annotated]
        self.told: list[Any] = []
        self.fails = False
        properties = SimpleNamespace(uuid="gpu")
        self.torch = SimpleNamespace(
            Tensor=Tensor, device=torch.device, from_numpy=torch.from_numpy,
            from_dlpack=lambda array: Tensor(array.__dlpack__(self.torchs), self.torchs),
            cuda=SimpleNamespace(is_available=lambda: cuda, get_device_properties=lambda gpu: properties),
        )  # fmt: skip
        self.distributed = SimpleNamespace(
            is_nccl_available=lambda: here, new_group=self.new_group, all_gather_object=self.all_gather_object,
            all_reduce=self.all_reduce, reduce_scatter_tensor=self.reduce_scatter_tensor,
            all_gather_into_tensor=self.all_gather_into_tensor,
        )  # fmt: skip

    def world(self) -> Gloo:
        return Gloo(self.torch, self.distributed, 1, len(self.names))

    def new_group(self, backend: str, timeout: Any) -> str:
        assert timeout == PATIENCE
        self.asked.append(("new_group", backend))
        return "the group"

    def all_gather_object(self, found: list[Any], value: str) -> None:
        self.told.append(value)
        found[:] = self.names if value else [value] * len(found)

    def all_reduce(self, tensor: Any, group: str | None = None, *, async_op: bool) -> Any:
        return self.message("all_reduce", group, tensor)

    def reduce_scatter_tensor(self, out: Any, given: Any, group: str, *, async_op: bool) -> Any:
        return self.message("reduce_scatter_tensor", group, out, given)

    def all_gather_into_tensor(self, out: Any, given: Any, group: str, *, async_op: bool) -> Any:
        return self.message("all_gather_into_tensor", group, out, given)

    def message(self, call: str, group: str | None, *tensors: Any) -> Any:
        """One by NCCL: after what torch's stream has done so far. Waiting for it holds up torch's stream."""
        if self.fails:
            raise RuntimeError("NCCL error in: somewhere. More")
        self.asked.append((call, group, *(t.name if isinstance(t, Lent) else "host" for t in tensors)))
        if group is not None:
            self.nccls.after(self.torchs)
            self.before[call] = self.nccls.do(call)
        return SimpleNamespace(wait=lambda: self.torchs.after(self.nccls) if group else None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(["gpu", "another"])
    monkeypatch.setattr(cupy, "from_dlpack", lambda tensor: tensor.__dlpack__(made.cupys))
    return made


CALLS: dict[str, tuple[str, Callable[[Gloo, Any, Any], Handle], tuple[str, ...]]] = {
    "sum": ("all_reduce", lambda world, array, part: world.all_reduce(array), ("array",)),
    "parts": ("reduce_scatter_tensor", lambda world, array, part: world.reduce_scatter(array, part), ("part", "array")),
    "whole": ("all_gather_into_tensor", lambda world, array, part: world.all_gather(array), ("array", "array[1/2]")),
}


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("library", [Tensor, CupyArray])
def test_a_message_comes_after_what_it_sends_and_before_what_reads_it(
    machine: Machine, library: type[Lent], what: str
) -> None:
    call, send, tensors = CALLS[what]
    own = machine.torchs if library is Tensor else machine.cupys
    world = machine.world()
    array, part = library("array", own), library("part", own)
    assert world.takes(array)
    own.do("gradients")
    handle = send(world, array, part)
    assert machine.asked == [("new_group", "nccl"), (call, "the group", *tensors)]
    assert "gradients" in machine.before[call]
    own.do("backward of the layer below")
    assert call not in own.past, "the GPU goes on meanwhile"
    handle.wait()
    assert call in own.past, "what comes now comes after the message"
    assert "backward of the layer below" not in machine.before[call]


def late_tensor(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(machine.torch, "from_dlpack", lambda array: Tensor(array.name, machine.torchs))


def never_back(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cupy, "from_dlpack", lambda tensor: None)


def not_waited_for(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    after = machine.torchs.after
    patch.setattr(machine.torchs, "after", lambda other: None if other is machine.nccls else after(other))


@pytest.mark.parametrize(("fault", "found"), [
    (late_tensor, "'gradients' in"), (never_back, "after the message"), (not_waited_for, "after the message"),
])  # fmt: skip
def test_the_check_rejects_streams_that_are_not_put_in_order(
    machine: Machine, fault: Callable[[Machine, pytest.MonkeyPatch], None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(machine, monkeypatch)
    with pytest.raises(AssertionError, match=found):
        test_a_message_comes_after_what_it_sends_and_before_what_reads_it(machine, CupyArray, "sum")


def test_what_is_on_the_host_goes_by_gloo_beside_it(machine: Machine) -> None:
    world, host = machine.world(), np.zeros(4)
    assert world.takes(host)
    assert world.takes(Tensor("array", machine.torchs))
    world.all_reduce(host).wait()
    assert machine.asked == [("new_group", "nccl"), ("all_reduce", None, "host")]


@pytest.mark.parametrize("library", [Tensor, CupyArray])
@pytest.mark.parametrize(("names", "build"), [
    (["gpu", "gpu"], {}), (["gpu", "another", "gpu"], {}), (["gpu", ""], {}), (["gpu", "another"], {"cuda": False}),
    (["gpu", "another"], {"here": False}),
])  # fmt: skip
def test_without_nccl_or_with_one_gpu_for_two_arrays_go_by_way_of_the_host(
    library: type[Lent], names: list[str], build: dict[str, bool]
) -> None:
    machine = Machine(names, **build)
    world = machine.world()
    assert [world.takes(library("array")) for _ in range(3)] == [False] * 3
    assert machine.told == ["" if build else "gpu"], "they ask each other once"
    assert machine.asked == []


@pytest.mark.parametrize(
    "array", [Tensor("xla", kind="xla"), Tensor("meta", kind="meta"), [1.0], None], ids=["xla", "meta", "list", "None"]
)
def test_other_devices_are_not_taken(machine: Machine, array: Any) -> None:
    world = machine.world()
    assert not world.takes(array)
    assert machine.told == []


def test_arrays_of_the_cpu_are_taken_and_of_the_strict_library_not() -> None:
    world = Gloo(torch, torch.distributed, 0, 2)
    for backend, taken in (("numpy", True), ("torch", True), ("strict", False)):
        xp = backends.get(backend).xp
        assert world.takes(xp.zeros((3,), dtype=xp.float32)) is taken, backend
    assert not world.takes(torch.zeros(3, device="meta"))


def test_an_error_of_nccl_is_a_lost_process(machine: Machine) -> None:
    world, array = machine.world(), Tensor("array", machine.torchs)
    assert world.takes(array)
    machine.fails = True
    with pytest.raises(ProcessLost, match=r"process 1 of 2 ends, because it has lost another one \(NCCL error in"):
        world.all_reduce(array)
