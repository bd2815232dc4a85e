"""Notebooks from their sources, executed and shown. Runs in the project's Python environment.

    python environment/notebook make NOTEBOOK.rs...     write the .ipynb beside each source
    python environment/notebook check NOTEBOOK.rs...    fail where the .ipynb is not what `make` writes
    python environment/notebook prepare NOTEBOOK        what `run` does first: `make`, unless the .ipynb was edited
    python environment/notebook run NOTEBOOK FOLDER     execute an .rs or .ipynb; results go into FOLDER
"""

import argparse
import sys
from pathlib import Path

import execute
import source


def main() -> int:
    parser = argparse.ArgumentParser(prog="notebook", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("make", "check"):
        commands.add_parser(name).add_argument("sources", nargs="+", type=Path)
    commands.add_parser("prepare").add_argument("notebook", type=Path)
    run = commands.add_parser("run")
    run.add_argument("notebook", type=Path)
    run.add_argument("folder", type=Path)
    chosen = parser.parse_args()

    if chosen.command == "run":
        return execute.run(chosen.notebook, chosen.folder)
    if chosen.command == "prepare":
        source.prepare(chosen.notebook)
        return 0
    if chosen.command == "check":
        return source.check(chosen.sources)
    for path in chosen.sources:
        print(source.make(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
