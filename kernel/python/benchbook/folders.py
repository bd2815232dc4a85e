"""A folder that appears complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder` and moves it to `folder` if the block ends without an exception."""
    # Remove the remains of an interrupted run.
    for left in folder.parent.glob(folder.name + ".partial-*"):
        shutil.rmtree(left)
    partial = Path(tempfile.mkdtemp(prefix=folder.name + ".partial-", dir=folder.parent))
    try:
        yield partial
        # Replace an unusable folder.
        if folder.exists():
            shutil.rmtree(folder)
        partial.chmod(0o755)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
