"""The host side where no kernel runs: what is launched for the arrays of real models, recorded, and held against the
limits of CUDA and what the kernels say of themselves."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from bertref.backends.cupy.kernels import columns, kernels, norm, philox, sources, update, updates
from bertref.backends.cupy.kernels.device import Device, Shape
from bertref.backends.cupy.kernels.tuning import Tuning

from .on_cpu import Cpu, check_kinds, library_of
from .pairs import XP
from .test_compile import bound

MOST_BLOCKS_X, MOST_BLOCKS_Y = 2**31 - 1, 65535
TUNING = Tuning()


class Launch(NamedTuple):
    """What was asked of the device."""

    file: str
    kernel: str
    shape: Shape
    arguments: tuple[Any, ...]


class Recorder(Device):
    """Runs nothing. Arrays are NumPy's, whose memory is never touched."""

    def __init__(self, tuning: Tuning | None = None) -> None:
        super().__init__(np, tuning)
        self.launches: list[Launch] = []

    def address(self, array: Any) -> int:
        return Cpu.address(self, array)  # type: ignore[arg-type]

    def launch(self, file: str, kernel: str, shape: Shape, *arguments: Any) -> None:
        check_launch(self, Launch(file, kernel, shape, arguments))
        self.launches.append(Launch(file, kernel, shape, arguments))

    def kernels(self) -> list[str]:
        """The names of what was launched, in order."""
        return [launch.kernel for launch in self.launches]


def check_launch(device: Device, launch: Launch) -> None:
    """That CUDA takes it, and that the kernel was compiled for it."""
    (x, y), threads = launch.shape.blocks, launch.shape.threads[0] * launch.shape.threads[1]
    assert launch.kernel in sources.EXPRESSIONS[launch.file]
    assert 0 < x <= MOST_BLOCKS_X
    assert 0 < y <= MOST_BLOCKS_Y
    assert threads % 32 == 0
    assert 0 < threads <= bound(sources.source(launch.file), launch.kernel.partition("<")[0])
    library = library_of(launch.file)
    number = library.find_kernel(launch.kernel.encode())
    check_kinds(library.kinds_of(number).decode().split(), launch.arguments, launch.kernel)


class Products:
    """NumPy's namespace, whose products are only as large as they should be."""

    def __getattr__(self, name: str) -> Any:
        return getattr(XP, name)

    def product(self, a: Any, b: Any) -> Any:
        return np.empty(self.matmul(a, b).shape, np.float32)

    def matmul(self, a: Any, b: Any) -> Any:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        assert a.shape[-1] == b.shape[-2]
        return np.empty((*batch, a.shape[-2], b.shape[-1]), a.dtype)


def array(*shape: int, dtype: Any = np.float16) -> Any:
    return np.empty(shape, dtype)


SIZES = {"base 256 x 128": (256, 128, 768, 12), "large 32 x 512": (32, 512, 1024, 16), "one token": (1, 1, 768, 12),
         "ragged": (3, 37, 100, 4)}  # fmt: skip
size = pytest.mark.parametrize("name", SIZES)


@size
def test_norms(name: str) -> None:
    B, S, H, _ = SIZES[name]
    device = Recorder()
    made, x, affine = kernels(device), array(B * S, H), (array(H), array(H))
    y, cache = made["dropout_add_norm"].forward(XP, x, x, array(B * S, H, dtype=bool), *affine, scale=1.25, eps=1e-12)
    made["dropout_add_norm"].backward(XP, y, cache)
    V = 8 if H % 8 == 0 else 1
    assert device.kernels() == [f"norm<__half, {V}>", f"norm_back<__half, {V}>", "column_sum<float, 1>"]
    forward, backward, _ = device.launches
    assert forward.shape.blocks == (B * S, 1)
    assert H <= forward.shape.threads[0] * norm.ELEMENTS < H + 32 * norm.ELEMENTS
    assert backward.shape.blocks[0] <= TUNING.norm_parts
    assert backward.arguments[7].shape == (backward.shape.blocks[0], 2 * H)


@size
def test_gelu(name: str) -> None:
    B, S, H, _ = SIZES[name]
    device, I = Recorder(), 4 * H  # noqa: E741
    kernel = kernels(device)["bias_activation"]
    y, cache = kernel.forward(XP, array(B * S, I, dtype=np.float32), array(I), activation="gelu_erf")
    grads = kernel.backward(XP, y, cache)
    assert device.kernels() == [
        "bias_gelu<float, __half, 8>",
        "bias_gelu_back<float, __half, 8>",
        "column_sum<float, 1>",
    ]
    for launch in device.launches[:2]:
        assert launch.shape.blocks[0] * launch.shape.threads[0] * 8 >= I
        assert launch.shape.threads[0] <= TUNING.column_threads
    assert grads.bias.shape == (I,)


@size
def test_dense(name: str) -> None:
    B, S, H, _ = SIZES[name]
    device, O = Recorder(), 4 * H  # noqa: E741
    kernel = kernels(device)["dense"]
    y, cache = kernel.forward(Products(), array(B, S, H), array(O, H), array(O))
    grads = kernel.backward(Products(), y, cache)
    V = 8 if B * S > 1 else 1
    assert device.kernels() == ["bias_add<__half, 8>", f"column_sum<__half, {V}>", "column_sum<float, 1>"]
    assert device.launches[0].arguments[0].dtype == np.float32
    assert [g.shape for g in grads] == [(B, S, H), (O, H), (O,)]
    assert (y.shape, y.dtype, grads.bias.dtype) == ((B, S, O), np.float16, np.float32)


@size
def test_attention(name: str) -> None:
    B, S, H, A = SIZES[name]
    device = Recorder()
    kernel, x = kernels(device)["attention"], array(B, S, H)
    keep, mask = array(B, A, S, S, dtype=bool), array(B, S, dtype=bool)
    y, cache = kernel.forward(Products(), x, x, x, mask, keep, heads=A, scale=0.125, mask_value=-1e4, dropout_scale=1.1)
    kernel.backward(Products(), y, cache)
    V, held = (4 if S % 4 == 0 else 1), (4 if S <= 128 else 16)
    assert device.kernels() == [f"softmax<__half, {V}, {held}>", f"softmax_back<__half, {V}, {held}>"]
    assert all(launch.shape.blocks[0] * 4 >= B * A * S for launch in device.launches)
    assert cache.probs is device.launches[0].arguments[0]  # the product's own memory


@size
def test_decoder(name: str) -> None:
    B, S, H, _ = SIZES[name]
    N, V = max(1, B * S * 20 // 128), 30522
    device = Recorder()
    kernel, loss = kernels(device)["decoder_cross_entropy"], np.ones(N, np.float32)
    inputs = np.zeros((N, H), np.float16), array(V, H), array(V), np.zeros(N, np.int64), loss, np.ones((), np.float32)
    assert kernel.serves(*inputs)
    _, cache = kernel.forward(Products(), *inputs)
    grads = kernel.backward(Products(), np.ones((), np.float32), cache)
    sums = ["column_sum<float, 1>"] * 2, ["column_sum<__half, 1>", "column_sum<float, 1>"]  # of losses, of logits
    assert device.kernels() == ["cross_entropy<__half, 2>", *sums[0], *sums[1]]
    assert device.launches[0].shape == Shape((N, 1), (TUNING.logits_threads, 1))
    assert grads.bias.shape == (V,)
    assert grads.table.shape == (V, H)


@size
def test_rows(name: str) -> None:
    B, S, H, _ = SIZES[name]
    device, ids = Recorder(), np.zeros(B * S, np.int32)
    for V, lanes in ((30522, TUNING.scatter_lanes), (2, TUNING.scatter_many if B * S > 8 else TUNING.scatter_lanes)):
        kernel = kernels(device)["embedding"]
        y, cache = kernel.forward(XP, array(V, H), ids)
        assert kernel.backward(XP, y, cache).table.shape == (V, H)
        if V == 2 or B * S <= 4 * V:
            assert device.launches[-1].shape.threads == (32, lanes)
    assert [k.partition("<")[0] for k in device.kernels()] == ["gather_rows", "scatter_rows"] * 2


@pytest.mark.parametrize("shape", [(30522, 1024), (768,), (1,)])
def test_updates(shape: tuple[int, ...]) -> None:
    device = Recorder()
    made, number, one = updates(device), np.ones((), np.float32), array(1, dtype=np.float32)
    settings = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01}
    arrays = [np.broadcast_to(one, shape)] * 4 if len(shape) == 1 else [array(*shape, dtype=np.float32)] * 4
    arrays = [np.ascontiguousarray(a) for a in arrays]
    made["adamw_update"].compute(XP, *arrays, number, number, number, **settings, donate=True)
    made["lamb_update"].compute(XP, *arrays, number, number, number, **settings, donate=True)
    made["squared_norm"].compute(XP, arrays[0])
    assert device.kernels() == ["adam", "lamb_direction", "lamb_apply", "squares", "total"]
    blocks = device.launches[0].shape.blocks[0]
    assert blocks == min(-(-arrays[0].size // 1024), TUNING.update_blocks)
    assert device.launches[1].arguments[9].shape == (2, blocks)


@size
def test_dropout(name: str) -> None:
    B, S, H, A = SIZES[name]
    device = Recorder()
    drawn = philox.Drawn(device, 1, 2, np.arange(B), np.ones((B, S), bool), True)
    drawn.hidden(1_000_001, 6554, H)
    drawn.probs(1_000_002, 6554, A)
    for launch, decisions in zip(device.launches, (S * H, A * S * S), strict=True):
        (examples, blocks), (threads, _) = launch.shape
        assert examples == B
        assert (blocks - 1) * threads * 16 < decisions <= blocks * threads * 16


def test_constants_are_those_of_the_files() -> None:
    """Numbers that both sides must agree on."""
    for file, name, value in (
        ("norm", "ELEMENTS", norm.ELEMENTS), ("norm", "MOST_THREADS", norm.MOST_THREADS),
        ("column_sum", "LANES", columns.LANES),
        ("rows", "MOST_LANES", TUNING.scatter_many), ("update", "THREADS", update.THREADS),
        ("philox", "OF_A_BLOCK", philox.OF_A_BLOCK),
    ):  # fmt: skip
        assert f"{name} = {value}" in sources.source(file), (file, name)


def test_a_wrong_launch_is_seen() -> None:
    device = Recorder()
    x, out, number = array(4, 8, dtype=np.float32), array(1, 8, dtype=np.float32), np.int64(4)
    right = (x, None, out, number, np.int64(8))
    device.launch("column_sum", "column_sum<float, 1>", Shape((1, 1), (32, 16)), *right)
    for kernel, shape, arguments in (
        ("column_sum<double, 1>", Shape((1, 1), (32, 16)), right),
        ("column_sum<float, 1>", Shape((1, 65536), (32, 16)), right),
        ("column_sum<float, 1>", Shape((0, 1), (32, 16)), right),
        ("column_sum<float, 1>", Shape((1, 1), (32, 32)), right),
        ("column_sum<float, 1>", Shape((1, 1), (31, 16)), right),
        ("column_sum<float, 1>", Shape((1, 1), (32, 16)), right[:4]),
        ("column_sum<float, 1>", Shape((1, 1), (32, 16)), (*right[:4], np.int32(8))),
        ("column_sum<float, 1>", Shape((1, 1), (32, 16)), (x[:, ::2], *right[1:])),
    ):
        with pytest.raises(AssertionError):
            device.launch("column_sum", kernel, shape, *arguments)
