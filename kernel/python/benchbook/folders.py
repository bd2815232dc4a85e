"""A folder that appears complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete(folder: Path) -> Iterator[Path]:
    """Gives an empty folder beside `folder`, which takes its place when the block ends without an exception."""
    # What an interrupted run left beside the place.
    for left in folder.parent.glob(folder.name + ".partial-*"):
        shutil.rmtree(left)
    partial = Path(tempfile.mkdtemp(prefix=folder.name + ".partial-", dir=folder.parent))
    try:
        yield partial
        # A folder that was found unusable makes room.
        if folder.exists():
            shutil.rmtree(folder)
        partial.chmod(0o755)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
