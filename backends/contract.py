"""The functions of an array namespace `xp`: ops, layers, the model and the optimisers may call nothing else.

`STANDARD` are functions of the Python array API standard (2024.12, https://data-apis.org/array-api), which
array-api-compat gives to every library. Arithmetic and comparison operators on arrays belong to them as well.
`EXTRAS` are ours: what the standard lacks and BERT needs.

Four rules keep the libraries alike:

- `zeros`, `ones` and `full` need a `dtype`: the default is float64 in NumPy and float32 in torch.
- `take` and `take_along_axis` want indices in [0, length): ids are checked on the host, when a batch is made.
- Python numbers may stand for one array in `where`, `maximum`, `minimum` and `clip`, but not for all of them.
- No function's output shape depends on an array's values.
"""

DTYPES = ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
"""Names that `xp.dtype` and `xp.dtype_name` translate."""

STANDARD_DTYPES = ("bool", "int32", "int64", "float32", "float64")
"""Dtypes that are attributes, `xp.float32`; those that some libraries lack come only from `xp.dtype`."""

CREATION = ("arange", "full", "ones", "zeros")
"""They make an array out of nothing, on the backend's device."""

STANDARD = (
    "abs",
    "all",
    "any",
    "arange",
    "argmax",
    "argsort",
    "astype",
    "broadcast_to",
    "clip",
    "concat",
    "cumulative_sum",
    "equal",
    "exp",
    "expand_dims",
    "finfo",
    "full",
    "full_like",
    "isfinite",
    "log",
    "log1p",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "minimum",
    "ones",
    "ones_like",
    "permute_dims",
    "pow",
    "reshape",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sum",
    "take",
    "take_along_axis",
    "tanh",
    "where",
    "zeros",
    "zeros_like",
)

EXTRAS = {
    "erf": "(x): the error function, accurate to the dtype; half precisions compute in float32",
    "index_add": "(x, index, values): a new array, x with values[i] added to row index[i]; duplicates "
    "accumulate, bit-equal from run to run",
    "product": "(a, b): matmul whose sums are not rounded to halves: of two arrays of one half type it is float32",
    "to_numpy": "(x): the same values as a numpy.ndarray on the host; bfloat16 becomes float32",
    "fetch": "(x): begins to bring x's values to the host, without waiting for them; a function that returns them",
    "from_numpy": "(array, dtype=None): an array on the backend's device; may share memory with `array`",
    "dtype": "(name): the library's dtype of that name",
    "dtype_name": "(dtype): the name of the library's dtype",
    "synchronize": "(): waits until the device has done everything asked of it",
}

FACTS = {"asynchronous": "whether calls return before the device has done what they ask"}
"""What a namespace says of itself. Training may look at it; ops have no use for it."""
