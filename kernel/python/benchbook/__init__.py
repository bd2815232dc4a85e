"""Benchbook's Python side: `%%rust` cells in Python notebooks, `benchbook setup`, papermill's parameters in Rust.

The kernel itself is a program in Rust; this package finds it, starts it and passes values to it.
"""

__version__ = "0.1.0"


def load_ipython_extension(shell) -> None:
    """`%load_ext benchbook`."""
    from benchbook import magic

    magic.load(shell)
