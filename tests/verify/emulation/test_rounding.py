"""The emulated arithmetic is the arithmetic that it emulates."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bertref.backends.contract import EXTRAS, STANDARD
from bertref.verify.cases.case import generate
from bertref.verify.emulation.formats import FORMATS, TF32, narrowest, nearest, stochastic
from bertref.verify.emulation.rounding import Arithmetic, RoundedNamespace
from bertref.verify.emulation.simulate import held_params, simulate
from bertref.verify.emulation.variants import VARIANTS, arithmetics
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.reference import reference

SINGLES = arrays.arrays(
    np.float32, st.integers(1, 30), elements=st.floats(width=32, allow_subnormal=True)
)  # NaN and infinities among them
HALVES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


@pytest.mark.parametrize("name", HALVES)
@given(values=SINGLES)
def test_rounding_to_nearest_is_that_of_the_type(name: str, values: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        want = values.astype(HALVES[name]).astype(np.float32)
    np.testing.assert_array_equal(nearest(values, FORMATS[name]), want)


@pytest.mark.parametrize("name", HALVES)
@given(values=arrays.arrays(np.float32, 20, elements=st.floats(-1e4, 1e4, width=32)), seed=st.integers(0, 99))
def test_rounding_by_chance_gives_a_neighbour(name: str, values: np.ndarray, seed: int) -> None:
    found = stochastic(values, FORMATS[name], np.random.default_rng(seed))
    np.testing.assert_array_equal(nearest(found, FORMATS[name]), found)
    smallest = 2.0**-24 if name == "float16" else 2.0**-133
    step = np.maximum(2 * FORMATS[name].unit * np.abs(values.astype(np.float64)), smallest)
    assert (np.abs(found.astype(np.float64) - values) <= step).all()


@pytest.mark.parametrize("name", HALVES)
def test_rounding_by_chance_is_right_on_average(name: str) -> None:
    values = np.full(40_000, 1.0 + FORMATS[name].unit / 2, np.float32)
    mean = stochastic(values, FORMATS[name], np.random.default_rng(0)).astype(np.float64).mean()
    assert abs(mean - values[0]) < 0.02 * FORMATS[name].unit


def test_tf32_keeps_ten_bits() -> None:
    assert nearest(np.float32([1 + 2**-10, 1 + 2**-12]), TF32).tolist() == [1 + 2**-10, 1.0]


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float64"])
def test_the_narrowest_format_is_found(name: str) -> None:
    values = nearest(np.random.default_rng(0).normal(size=500), FORMATS[name])
    assert narrowest(values.astype(np.float64)).name == name


def test_the_namespace_is_complete() -> None:
    xp = RoundedNamespace(Arithmetic("bfloat16"))
    for name in (*STANDARD, *EXTRAS):
        assert callable(getattr(xp, name)), name


@pytest.mark.parametrize("options", [{}, {"dialect": "google", "hidden_act": "relu"}], ids=str)
def test_emulated_float32_is_float32_bit_for_bit(options: dict) -> None:
    case = generate(1, **options)
    emulated, real = simulate(case, Arithmetic("float32")), reference(case, dtype="float32").values
    assert emulated.keys() == real.keys()
    for name, value in real.items():
        assert value.dtype == np.float32, name
        np.testing.assert_array_equal(emulated[name], value, err_msg=name)


def test_emulated_bfloat16_is_torch_s() -> None:
    """Element for element up to the order of sums, which flips a rounding now and then."""
    from bertref.verify.subjects.backend import BackendSubject

    case = generate(1)
    emulated = simulate(case, Arithmetic("bfloat16"))
    real = BackendSubject("torch", dtype="bfloat16", kernels=False).answer(case).values
    graph = Graph(case)
    for name in ("embeddings.norm", "layer.0.query", "layer.0.scores", "layer.0.ffn_act", "layer.0.output"):
        clean = graph.axes(name).clean
        equal = clean(emulated[name]) == clean(np.asarray(real[name], np.float32))
        assert equal.mean() > 0.97, name


@pytest.mark.parametrize("precision", ["float64", "float32", "tf32", "bfloat16", "float16", "mixed-bfloat16"])
def test_every_emulated_implementation_is_right_and_few_are_alike(precision: str) -> None:
    """Their errors have the size of the precision, and differ from each other (rounded to the nearest half, the order
    of sums hardly shows)."""
    case = generate(2)
    truth = Replay(Graph(case, held_params(case, precision)), {})
    name, seen = "layer.1.output", []
    for arithmetic in arithmetics(precision, 6):
        values = Graph(case).axes(name).clean(np.asarray(simulate(case, arithmetic, [name])[name], np.float64))
        seen.append(values - truth(name))
        error = np.linalg.norm(seen[-1]) / np.linalg.norm(truth(name))
        unit = arithmetic.products.unit
        assert unit / 4 < error < 16 * unit, arithmetic
    assert len({error.tobytes() for error in seen}) >= 5


@pytest.mark.parametrize("order", ["permuted", "sequential"])
def test_the_order_of_a_sum_changes_its_rounding_only(order: str) -> None:
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=(4, 5, 300)).astype(np.float32), draw.normal(size=(300, 7)).astype(np.float32)
    xp = RoundedNamespace(Arithmetic("float32", order=order))
    found = xp.matmul(xp.from_numpy(a), xp.from_numpy(b)).values
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert (found != a @ b).any()
    assert np.abs(found - exact).max() < 1e-4
    total = xp.sum(xp.from_numpy(a), axis=-1).values
    assert np.abs(total - a.astype(np.float64).sum(axis=-1)).max() < 1e-4


def test_large_products_get_the_error_of_adding_one_after_the_other() -> None:
    """The drawn error has the size of the real one."""
    from bertref.verify.emulation import rounding

    draw = np.random.default_rng(4)
    a, b = draw.normal(size=(60, 400)).astype(np.float32), draw.normal(size=(400, 50)).astype(np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    sizes = []
    for most in (10**9, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rounding, "LOOPS", most)
            xp = RoundedNamespace(Arithmetic("float32", order="sequential"))
            sizes.append(np.std(xp.matmul(xp.from_numpy(a), xp.from_numpy(b)).values - exact))
    assert 0.5 < sizes[1] / sizes[0] < 2


def test_mixed_precision_follows_autocast() -> None:
    xp = RoundedNamespace(Arithmetic("mixed-bfloat16"))
    draw = np.random.default_rng(5)
    x, w, b = (xp.from_numpy(draw.normal(size=s).astype(np.float32)) for s in ((3, 8), (8, 8), (8,)))
    product = xp.matmul(x, w) + b
    assert product.dtype.name == "bfloat16"
    assert (product + x).dtype.name == "float32"  # the residual


def test_looking_changes_no_draw() -> None:
    """What is drawn by chance in a computation is the same whatever of it is recorded: also at predictions, where it is
    brought into another form to be shown."""
    case, arithmetic = generate(5, size="tiny"), Arithmetic("float32", "stochastic", seed=3)
    everything = simulate(case, arithmetic)
    for name in ("loss.mlm", "grad:pooled_pre", "grad:embeddings.word"):
        assert simulate(case, arithmetic, [name, "grad:pooled"])[name].tobytes() == everything[name].tobytes(), name


def test_variants_replace_ops_that_exist() -> None:
    from bertref.ops import OPS

    for variant, pairs in VARIANTS.items():
        assert set(pairs) <= set(OPS), variant


@pytest.mark.parametrize("length", [1, 63, 64, 1000])
def test_a_long_sum_is_permuted_by_runs(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertref.verify.emulation.rounding.LONG", 0)
    order = RoundedNamespace(Arithmetic("float32", order="permuted"))._permutation(length)
    np.testing.assert_array_equal(np.sort(order), np.arange(length))
    assert length < 1000 or not (np.diff(order) == 1).all()
