"""The command line: thin click commands over the public Python API. Everything that is drawn is drawn in `render`."""

if __name__ != "bertref.cli":  # a module that is imported under two names has two registries
    raise ImportError(f"this package is bertref.cli; it can't be imported as {__name__!r}")

from .main import main

__all__ = ["main"]
