"""Names of Rust variables."""

import re

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
KEYWORDS = frozenset(
    "as async await box break const continue crate dyn else enum extern false fn for gen if impl in let loop match mod move mut "
    "priv pub ref return self Self static struct super trait true try type typeof union unsafe unsized use virtual where while "
    "yield abstract become do final macro override _".split()
)


def is_variable(name: str) -> bool:
    """Whether `name` is a valid name of a Rust variable."""
    return IDENTIFIER.fullmatch(name) is not None and name not in KEYWORDS
