"""A node's inputs and attributes."""

from typing import Any


def input_at(node: Any, at: int) -> str:
    """The name of a node's input; "" for one that it isn't given."""
    return str(node.input[at]) if at < len(node.input) else ""


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """An attribute's value."""
    import onnx

    for one in node.attribute:
        if one.name == name:
            return onnx.helper.get_attribute_value(one)
    return default
