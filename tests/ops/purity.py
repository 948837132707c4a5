"""What a reference op must not do, recognised in its source.

An op never writes into an array, never decides by the values of one, never draws random numbers, and gets all
functions of arrays from `xp`. The rules below recognise that without running anything:

- Targets of assignments are plain names (or tuples of them): no items, no attributes, no augmented assignment but to a
  name that was assigned an immutable value (there is none in the ops, so: no augmented assignment at all), no `del`.
- No call of a method that works in place (the standard's arrays have none; the libraries' do: `x.fill`, `x.add_`), no
  `out=`.
- A condition (`if`, `while`, `assert`, a conditional expression, a comprehension's `if`, `and`, `or`, `not`) is
  made of literals, of `is None`, of names annotated `bool`, `str`, `int`, `float` or as a probe, of fields of the
  cache annotated so, and of attributes that say what an array is (`shape`, `dtype`, `ndim`). What comes from an
  array's values (a comparison of arrays, a call such as `xp.any`) is none of these.
- Imports come from the standard library's typing and math, and from bertref itself.
"""

import ast
from collections.abc import Iterator

ALLOWED_IMPORTS = {"math", "typing", "collections.abc", "dataclasses"}
DESCRIPTIVE = {"shape", "dtype", "ndim", "bits"}
PLAIN_TYPES = {"bool", "str", "int", "float", "Figure", "InnerProbe"}
MUTATING = {"fill", "sort", "put", "itemset", "resize", "setflags", "partition", "copyto", "append", "extend", "update",
            "pop", "clear", "insert", "remove", "setdefault", "__setitem__", "__iadd__"}  # fmt: skip
CONDITIONS = (ast.If, ast.While, ast.IfExp, ast.Assert)


def violations(source: str) -> list[str]:
    """What the source of an op does that it must not, a line each."""
    tree = ast.parse(source)
    fields = _plain_fields(tree)
    found = [*_imports(tree), *_writes(tree)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        found += _conditions(function, _plain_names(function) | fields)
    inside = {id(node) for function in functions for node in ast.walk(function)}
    found += [f"line {n.lineno}: a condition outside of a function" for n in ast.walk(tree)
              if isinstance(n, CONDITIONS) and id(n) not in inside]  # fmt: skip
    return found


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name not in ALLOWED_IMPORTS:
                yield f"line {node.lineno}: imports {name}"


def _writes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign | ast.Delete | ast.Global | ast.Nonlocal):
            yield f"line {node.lineno}: {type(node).__name__}"
        elif isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield f"line {node.lineno}: assigns to {ast.unparse(node)}"
        elif isinstance(node, ast.Call):
            if any(keyword.arg == "out" for keyword in node.keywords):
                yield f"line {node.lineno}: out="
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in MUTATING or (name.endswith("_") and not name.endswith("__")):
                yield f"line {node.lineno}: calls {name}, which works in place"
            if "random" in ast.unparse(node.func):
                yield f"line {node.lineno}: draws random numbers"


def _plain_names(function: ast.FunctionDef) -> set[str]:
    """Arguments whose annotation says that they are no arrays."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return {argument.arg for argument in arguments if _plain(argument.annotation)}


def _plain_fields(tree: ast.Module) -> set[str]:
    """Fields of the records that are no arrays, as names (a cache is taken apart by name) and as attributes."""
    annotated = [node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and _plain(node.annotation)]
    return {node.target.id for node in annotated if isinstance(node.target, ast.Name)}


def _plain(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.BinOp):  # InnerProbe | None
        return _plain(annotation.left) and _plain(annotation.right)
    if isinstance(annotation, ast.Constant):
        return annotation.value is None
    return isinstance(annotation, ast.Name) and annotation.id in PLAIN_TYPES


def _conditions(function: ast.FunctionDef, plain: set[str]) -> Iterator[str]:
    for node in ast.walk(function):
        tests: list[ast.expr] = []
        if isinstance(node, CONDITIONS):
            tests = [node.test]
        elif isinstance(node, ast.comprehension):
            tests = node.ifs
        elif isinstance(node, ast.BoolOp):
            tests = node.values
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            tests = [node.operand]
        elif isinstance(node, ast.Match):
            tests = [node.subject]
        for test in tests:
            if not _harmless(test, plain):
                yield f"line {test.lineno}: decides by {ast.unparse(test)}"


def _harmless(node: ast.expr, plain: set[str]) -> bool:
    """Whether an expression can't depend on what is inside an array."""
    match node:
        case ast.Compare(ops=[ast.Is() | ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return True
        case ast.Compare():
            return all(_harmless(part, plain) for part in (node.left, *node.comparators))
        case ast.BoolOp():
            return all(_harmless(part, plain) for part in node.values)
        case ast.UnaryOp():
            return _harmless(node.operand, plain)
        case ast.BinOp():
            return _harmless(node.left, plain) and _harmless(node.right, plain)
        case ast.Constant():
            return True
        case ast.Name():
            return node.id in plain
        case ast.Attribute():
            return node.attr in DESCRIPTIVE or node.attr in plain or ast.unparse(node) == "math.inf"
        case ast.Subscript():
            return _harmless(node.value, plain) and _harmless(node.slice, plain)
        case _:
            return False
