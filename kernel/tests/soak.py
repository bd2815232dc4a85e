"""Attacks the installed kernel with several sessions at once and counts what was lost. See `environment/soak --help`.

Every case draws its random numbers from the seed, its kind and its number, so it can be repeated alone. Sessions take
cases from one shuffled list. After every case the session's variables are checked; at a session's end, that no open
file, process or folder is left over.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from attacks import KINDS, NotTried, Session
from figures import REPOSITORY, table

RESULTS = REPOSITORY / "results" / "soak"
SESSIONS = 4
# The kind of the check at a session's end.
END = "session-end"


@dataclass(frozen=True)
class Case:
    kind: str
    number: int
    attacks: int


@dataclass
class Report:
    """What became of the attacks, by kind."""

    command: str
    seed: int
    planned: int = 0
    cases: int = 0
    tried: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    not_tried: Counter[str] = field(default_factory=Counter)
    reasons: set[str] = field(default_factory=set)
    lost: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, case: Case) -> None:
        with self.lock:
            self.cases += case.kind != END
            self.tried[case.kind] += case.attacks
            self.held[case.kind] += case.attacks

    def skip(self, case: Case, reason: str) -> None:
        with self.lock:
            self.cases += 1
            self.not_tried[case.kind] += case.attacks
            self.reasons.add(f"{case.kind}: {reason}")

    def lose(self, case: Case, error: Exception, before: list[str]) -> None:
        """Says how to repeat the case, and which cases (`before`) the session had seen."""
        repeat = f"{self.command} --seed {self.seed}"
        if case.kind != END:
            repeat += f" --only {case.kind} --case {case.number}"
        reason = f"{type(error).__name__}: {error}"
        place = "".join(traceback.format_tb(error.__traceback__)[-2:])
        with self.lock:
            self.cases += case.kind != END
            self.tried[case.kind] += case.attacks
            self.lost.append({"kind": case.kind, "case": case.number, "reason": reason, "place": place, "repeat": repeat, "before": before})
            print(f"LOST: {case.kind}, case {case.number}\n{reason}\n{place}repeat it: {repeat}\nthe session before: {', '.join(before) or 'new'}", flush=True)

    def rows(self) -> list[tuple[str, ...]]:
        kinds = [kind for kind in (*KINDS, END) if self.tried[kind] or self.not_tried[kind]]
        # A lost case counts with all its attacks: it ended at one of them.
        lost = Counter({kind: self.tried[kind] - self.held[kind] for kind in kinds})
        counts = [(kind, self.tried[kind], self.held[kind], lost[kind], self.not_tried[kind]) for kind in kinds]
        return [("attack", "tried", "held", "lost", "not tried"), *(tuple(map(str, row)) for row in counts)]

    def notes(self) -> list[str]:
        notes = [f"server, {moment}: {mb:g} MB (PSS)" for moment, mb in self.figures.get("server_mb", {}).items()]
        notes += [f"not tried: {reason}" for reason in sorted(self.reasons)]
        return notes + [f"lost: {lost['kind']}, case {lost['case']}: {lost['repeat']}" for lost in self.lost]

    def write(self, head: str) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        rows = self.rows()
        figures = {
            "run": head,
            "seed": self.seed,
            "kinds": {row[0]: dict(zip(rows[0][1:], map(int, row[1:]), strict=True)) for row in rows[1:]},
            "lost": self.lost,
            "not_tried": sorted(self.reasons),
            **self.figures,
        }
        (RESULTS / "soak.json").write_text(json.dumps(figures, indent=2) + "\n")
        lines = [f"| {' | '.join(row)} |" for row in (rows[0], ("---", *["---:"] * 4), *rows[1:])]
        text = "\n".join([head, "", *lines, "", *(f"- {note}" for note in self.notes())])
        (RESULTS / "soak.md").write_text(text.rstrip() + "\n")


def plan(short: bool, only: list[str], number: int | None, dice: Random) -> list[Case]:
    """All cases in random order; the one with the plots is first, because it takes longest."""
    cases = []
    for name in only or KINDS:
        kind = KINDS[name]
        count = kind.short if short else kind.long
        cases += [Case(name, first // kind.size, min(kind.size, count - first)) for first in range(0, count, kind.size)]
    if number is not None:
        cases = [case for case in cases if case.number == number]
    dice.shuffle(cases)
    return sorted(cases, key=lambda case: case.kind != "plot")


def attack(cases: Iterator[Case], report: Report, root: Path, end: float) -> None:
    """One session after another makes attacks until no cases are left; a session that lost something is replaced."""
    session, before = None, []
    for case in cases:
        if time.monotonic() > end:
            report.skip(case, "the time is over")
            continue
        try:
            session = session or Session(Path(tempfile.mkdtemp(prefix="s", dir=root)), report.figures)
            told = KINDS[case.kind].attack(session, Random(f"{report.seed} {case.kind} {case.number}"), case.attacks)
            session.check(told)
            report.hold(case)
            before.append(f"{case.kind} {case.number}")
        except NotTried as reason:
            report.skip(case, str(reason))
        except Exception as error:
            report.lose(case, error, before)
            before = [*before, f"{case.kind} {case.number}"]
            if session is not None:
                finish(session, report, before)
            session, before = None, []
    if session is not None:
        finish(session, report, before)


def finish(session: Session, report: Report, before: list[str]) -> None:
    case = Case(END, report.tried[END], 1)
    try:
        session.end()
        report.hold(case)
    except Exception as error:
        report.lose(case, error, before)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="environment/soak", description="Attacks the installed kernel and counts what was lost.")
    parser.add_argument("--short", action="store_true", help="a small part of the attacks, about a minute")
    parser.add_argument("--minutes", type=float, default=120, help="no attack begins later than this (120)")
    parser.add_argument("--seed", type=int, default=2019, help="the seed of all random numbers (2019)")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=[], metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--case", type=int, help="only this case of the kinds")
    options = parser.parse_args(words)

    command = "environment/soak" + " --short" * options.short
    report = Report(command, options.seed)
    cases = plan(options.short, options.only, options.case, Random(options.seed))
    report.planned = len(cases)
    sessions = min(SESSIONS, len(cases))
    print(f"{len(cases)} cases in {sessions} sessions at once; seed {options.seed}", flush=True)
    begun = time.monotonic()
    queue = Shared(cases)
    # The path is short, because that of a Unix socket is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="bb-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        os.environ.setdefault("BENCHBOOK_CACHE", str(root / "cache"))
        arguments = (queue, report, root, begun + options.minutes * 60)
        threads = [threading.Thread(target=attack, args=arguments) for _ in range(sessions)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            next(thread for thread in threads if thread.is_alive()).join(60)
            print(f"  {time.monotonic() - begun:.0f} s: {report.cases} of {report.planned} cases, {len(report.lost)} lost", flush=True)
    seconds = time.monotonic() - begun
    head = f"`{command}`: {seconds:.0f} s, {sessions} sessions at once on {os.cpu_count()} cores, seed {options.seed}"
    report.write(head)
    print(head, *table(report.rows()), *report.notes(), f"{RESULTS.relative_to(REPOSITORY)}/soak.{{json,md}}", sep="\n", flush=True)
    return 1 if report.lost else 0


class Shared:
    """An iterator over cases that several threads share."""

    def __init__(self, cases: list[Case]) -> None:
        self.cases, self.lock = iter(cases), threading.Lock()

    def __iter__(self) -> Shared:
        return self

    def __next__(self) -> Case:
        with self.lock:
            return next(self.cases)


if __name__ == "__main__":
    sys.exit(main())
