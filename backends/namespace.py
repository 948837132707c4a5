"""`xp`, the array namespace that ops receive: one library's functions on one device, plus our extras."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

from ..arrays import Array
from ..errors import InputError
from .contract import CREATION, DTYPES, STANDARD, STANDARD_DTYPES

if TYPE_CHECKING:  # this module must not import NumPy
    import numpy as np

HostArray: TypeAlias = "np.ndarray[Any, Any]"


def _on_device(function: Any, device: Any, needs_dtype: bool) -> Any:
    """The creation function, on `device`; it insists on a dtype where the libraries' defaults differ."""
    given = {} if device is None else {"device": device}

    @wraps(function)
    def create(*args: Any, **kwargs: Any) -> Array:
        if needs_dtype and kwargs.get("dtype") is None:
            raise TypeError(f"xp.{function.__name__} needs a dtype: the default differs between libraries")
        return function(*args, **{**given, **kwargs})

    return create


class Namespace:
    """The base that every backend's namespace completes; its signatures are the contract of the extras.

    The standard's functions are bound once, as plain attributes: calling one costs no more than in the
    library.
    """

    asynchronous = False
    """Whether calls return before the device has done what they ask. Whoever asks for a value waits for all that was
    asked before; who begins to `fetch` it, and goes on, does not. Where calls are only noted, to become one program,
    that runs where a value is asked for or begun to be fetched: always at the same places, it is the same program."""

    def __init__(self, standard: Any, device: Any = None) -> None:
        """`standard`: a module that follows the standard; `device`: what its creation functions take."""
        for name in STANDARD:
            function = getattr(standard, name)
            if name in CREATION:
                function = _on_device(function, device, needs_dtype=name != "arange")
            setattr(self, name, function)
        for name in STANDARD_DTYPES:
            setattr(self, name, getattr(standard, name))
        self._name_dtypes({name: getattr(standard, name) for name in DTYPES if hasattr(standard, name)})

    def _name_dtypes(self, by_name: dict[str, Any]) -> None:
        self._by_name = by_name
        self._by_dtype = {dtype: name for name, dtype in by_name.items()}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"xp.{name} is not in the contract (bertref.backends.contract)")

    def erf(self, x: Array) -> Array:
        """The error function 2/sqrt(pi) ∫₀ˣ exp(-t²) dt, to two ulps of x's dtype (halves: in float32)."""
        raise NotImplementedError

    def index_add(self, x: Array, index: Array, values: Array) -> Array:
        """A new array: x (R, ...) with values[i] (N, ...) added to row index[i] (N,).

        Rows named several times receive all their values. The result is bit-equal from run to run.
        """
        raise NotImplementedError

    def product(self, a: Array, b: Array) -> Array:
        """a (..., N, K) times b (K, M). Halves are multiplied exactly and summed in float32, which the result is, too:
        what is added to it next is rounded together with it. Other types: `matmul`."""
        raise NotImplementedError

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; may share memory with `x`. bfloat16, which NumPy lacks, becomes float32."""
        raise NotImplementedError

    def fetch(self, x: Array) -> Callable[[], HostArray]:
        """Begins to bring the values to the host, after what has been asked of the device so far. The function that is
        returned waits for that, not for what is asked later, and has them as `to_numpy` does."""
        values = self.to_numpy(x)
        return lambda: values

    def from_numpy(self, array: HostArray, dtype: Any = None) -> Array:
        """The values on the backend's device, in `dtype` (a name or the library's); may share memory."""
        raise NotImplementedError

    def dtype(self, name: str) -> Any:
        """The library's dtype called `name`; `InputError` where it has none."""
        if name not in self._by_name:
            raise InputError(f"dtype {name!r} does not exist on this backend; it has {', '.join(self._by_name)}")
        return self._by_name[name]

    def dtype_name(self, dtype: Any) -> str:
        """ "float32" and so on: the inverse of `dtype`."""
        if dtype not in self._by_dtype:
            raise InputError(f"dtype {dtype!r} has no name here; known are {', '.join(self._by_name)}")
        return self._by_dtype[dtype]

    def synchronize(self) -> None:
        """Wait until the device has done everything asked of it (a timing without it measures the asking)."""
        raise NotImplementedError


def widened_product(xp: Any, a: Array, b: Array) -> Array:
    """`Namespace.product` by a product in float32: exact factors, at float32's speed."""
    if xp.finfo(a.dtype).bits == 16:
        a, b = xp.astype(a, xp.float32), xp.astype(b, xp.float32)
    return xp.matmul(a, b)
