"""kernel/GPU.md: every code path that only a GPU reaches, and which of them a GPU has run.

`paths.json` is written by hand: each path's place, purpose, source of reference, nearest executed equivalent, and the steps
that run it. The records of these steps show whether a GPU has run the path.
"""

import json
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("paths.json")
PAGE = REPOSITORY / "kernel/GPU.md"
# The output of `--collect` for a machine with a GPU; absent before the first.
KEPT = REPOSITORY / "kernel/gpu-records/steps.json"

HEAD = """# What only a GPU reaches

{state} `environment/gpu --paths` writes this page from `environment/on_gpu/paths.json` and the records of GPUs; a test compares them.
Each path was read against the named source. *Nearest run* is what was executed on a processor; *step* is what runs the path
in `environment/gpu --pack` ([environment/README.md](../environment/README.md)).

| path | what it does | read against | nearest run | step | on a GPU |
| --- | --- | --- | --- | --- | --- |
"""
NEVER = "never run"


def read() -> list[dict[str, Any]]:
    return json.loads(LIST.read_text())


def page(paths: list[dict[str, Any]], steps: list[dict[str, Any]]) -> str:
    """The page; counts only steps that ran with CUDA."""
    states = {step["id"]: step["state"] for step in steps if step.get("cuda")}
    counted = sum(outcome(path, states) == NEVER for path in paths)
    state = f"{counted} of {len(paths)} paths were never run." if counted else f"All {len(paths)} paths were run."
    rows = []
    for path in paths:
        place = f"`{path['name']}` in [`{path['file'].removeprefix('kernel/')}`](../{path['file']})"
        where = ", ".join(f"`{step}`" for step in path["steps"]) or f"none: {path['unreachable']}"
        rows.append(f"| {place} | {path['does']} | {path['read']} | {path['nearest']} | {where} | {outcome(path, states)} |")
    return HEAD.format(state=state) + "\n".join(rows) + "\n" + notes(paths)


def outcome(path: dict[str, Any], states: dict[str, str]) -> str:
    """The result of a path's steps on a GPU."""
    found = {states.get(step, "not reached") for step in path["steps"]}
    if not found or found == {"not reached"}:
        return NEVER
    return "run" if "done" in found else ", ".join(sorted(found))


def notes(paths: list[dict[str, Any]]) -> str:
    """The known limitations that remain."""
    open_points = [(path["name"], path["open"]) for path in paths if path.get("open")]
    lines = [f"- `{name}`: {text}" for name, text in open_points]
    return "\n## Left as it is\n\n" + "\n".join(lines) + "\n"


def write() -> None:
    steps = json.loads(KEPT.read_text()) if KEPT.exists() else []
    PAGE.write_text(page(read(), steps))
    print(PAGE)
