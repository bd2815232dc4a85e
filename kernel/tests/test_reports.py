"""Public reports about kernels, tensors, data, training and charts, replayed. `reports/README.md` lists them.

A file `reports/NN-name.cells` names its source in its first line. Lines `//---` divide its cells; @DATA@ is the folder of test
pictures. The lines at the end of a cell say what comes of it; a cell without `//fails` must succeed:

    //= TEXT            the result's plain text (several lines: one each)
    //none              no result
    //shows TEXT        the result's plain text contains it
    //data MIME TEXT    the result has it in this form
    //svg               the result is a chart
    //out, //err TEXT   what was printed contains it
    //stdout, //stderr TEXT  what was printed is this (\\n and \\r are escaped)
    //fails TEXT        the cell fails, and the message contains it
    //never TEXT        it stands nowhere
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from driver import Cell

REPORTS = Path(__file__).parent / "reports"
PICTURES = Path(__file__).parents[1] / "data/tests/data"
EXPECTATION = re.compile(r"^//(=|none|shows|data|svg|out|err|stdout|stderr|fails|never)(?: (.*))?$")


def cells(case: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """The cells of a file, each with what is expected of it."""
    head, _, text = case.read_text().partition("\n")
    assert re.match(r"//# \S+(#\d+)?: \S", head), f"{case.name} names no source"
    found = []
    for part in text.replace("@DATA@", str(PICTURES)).split("\n//---\n"):
        lines = part.strip("\n").split("\n")
        expected = [(match[1], match[2] or "") for line in lines if (match := EXPECTATION.match(line))]
        found.append(("\n".join(line for line in lines if not EXPECTATION.match(line)), expected))
    return found


def check(cell: Cell, expected: list[tuple[str, str]]) -> None:
    """Compares a cell with what is expected of it."""
    failing = any(kind == "fails" for kind, _ in expected)
    assert (cell.status == "error") == failing, f"{cell}: {cell.problem}"
    whole = "\n".join(line for kind, line in expected if kind == "=")
    if whole:
        assert cell.result["text/plain"] == whole.replace("\\n", "\n") or cell.result["text/plain"] == whole, cell.problem
    for kind, text in expected:
        plain = text.replace("\\n", "\n").replace("\\r", "\r")
        match kind:
            case "none":
                assert cell.of("execute_result") == [], cell.problem
            case "shows":
                assert text in cell.result["text/plain"], cell.problem
            case "data":
                mime, _, part = text.partition(" ")
                shown = [bundle["data"].get(mime, "") for bundle in cell.of("execute_result", "display_data")]
                assert any(part in data for data in shown), (shown, cell.problem)
            case "svg":
                drawing = cell.result["image/svg+xml"]
                assert drawing.startswith("<svg") and "NaN" not in drawing and "inf" not in drawing.lower().replace("info", ""), drawing
            case "out":
                assert text in cell.stdout, cell.problem
            case "err":
                assert text in cell.stderr, cell.problem
            case "stdout":
                assert cell.stdout == plain, cell.problem
            case "stderr":
                assert cell.stderr == plain, cell.problem
            case "fails":
                assert text in cell.evalue + cell.traceback, cell.problem
            case "never":
                assert text not in f"{cell.problem}{cell.stdout}{cell.stderr}", cell.problem


@pytest.mark.parametrize("case", sorted(REPORTS.glob("*.cells")), ids=lambda case: case.stem)
def test_a_report_gives_the_right_value(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Path) -> None:
    monkeypatch.chdir(tmp_path)
    kernel = kernels()
    for code, expected in cells(case):
        check(kernel.run(code), expected)
