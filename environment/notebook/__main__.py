"""Notebooks from their sources, executed and shown. Runs in the project's Python environment.

    python environment/notebook make NOTEBOOK.rs...     write the .ipynb beside each source, and its %%rust form into colab/
    python environment/notebook check NOTEBOOK.rs...    fail if an .ipynb differs from `make`'s
    python environment/notebook prepare NOTEBOOK        what `run` does first: `make`, unless the .ipynb was edited
    python environment/notebook run NOTEBOOK FOLDER     execute an .rs or .ipynb; results go into FOLDER
        -p NAME VALUE       a parameter, as papermill's -p
        --directory PLACE   where its cells run (its own folder)
        --installed         a %%rust form loads the installed package instead of installing one
    python environment/notebook page NOTEBOOK.ipynb...  write a page, NOTEBOOK.html, beside each executed notebook
    python environment/notebook charts NOTEBOOK.ipynb PLACE...  fail if a chart differs from the records (files or folders of JSON)
    python environment/notebook keep FOLDER NOTEBOOK.rs  copy executed cells and records of FOLDER into the repository
"""

import argparse
import json
import sys
from pathlib import Path

import execute
import kept
import page
import source


def value_of(text: str) -> object:
    """A parameter's value: JSON if valid (3, 0.5, true, [32, 64]), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="notebook", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("make", "check"):
        commands.add_parser(name).add_argument("sources", nargs="+", type=Path)
    commands.add_parser("prepare").add_argument("notebook", type=Path)
    run = commands.add_parser("run")
    run.add_argument("notebook", type=Path)
    run.add_argument("folder", type=Path)
    run.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--directory", type=Path)
    run.add_argument("--installed", action="store_true")
    commands.add_parser("page").add_argument("notebooks", nargs="+", type=Path)
    compare = commands.add_parser("charts")
    compare.add_argument("notebook", type=Path)
    compare.add_argument("places", nargs="+", type=Path)
    keep = commands.add_parser("keep")
    keep.add_argument("folder", type=Path)
    keep.add_argument("source", type=Path)
    chosen = parser.parse_args()

    if chosen.command == "run":
        parameters = {name: value_of(text) for name, text in chosen.parameter}
        return execute.run(chosen.notebook, chosen.folder, parameters, chosen.directory, chosen.installed)
    if chosen.command == "page":
        for path in chosen.notebooks:
            print(page.write(path))
        return 0
    if chosen.command == "charts":
        return kept.compare(chosen.notebook, chosen.places)
    if chosen.command == "keep":
        return kept.keep(chosen.folder, chosen.source)
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
