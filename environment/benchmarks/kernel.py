"""How long cells take and what a session holds in memory, against rustc alone and evcxr_jupyter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cells import inside
from cells.session import Session
from cells.statistics import median, quartiles
from cells.toolchain import BareCompiler, Evcxr, Installed
from shared import parser, write

# One cell of each kind; `N` is another number each time. Both kernels get the same text. What is called of tch is
# compiled into the helper library: evcxr_jupyter cannot link tch's generic functions, whose C functions a
# Rust dylib hides.
CELLS = {
    "helper expression": "(benchbook::tch::Tensor::new().size(), N)",
    "print": 'println!("text N");',
    "let": "let value = (benchbook::tch::Tensor::new(), N);",
    "fn item": "fn item(x: i64) -> i64 { x + N }",
}
QUESTION = 'let parsed: i64 = "N".parse()?; assert_eq!(parsed, N);'
WITHOUT_QUESTION = 'let parsed: i64 = "N".parse().unwrap(); assert_eq!(parsed, N);'
FAILING = "let missing = (benchbook::tch::Tensor::new().no_such_method(), N);"


PARTS = ["beginnings", "kinds", "growth", "calls"]


@dataclass
class Row:
    """One line of the table."""

    what: str
    seconds: list[float]
    unit: str = "s"
    aims: list[tuple[str, float, float]] = field(default_factory=list)
    """What the figure is compared by in words, the figure, and what it may be at most."""
    others: dict[str, list[float]] = field(default_factory=dict)

    def aim(self, words: str, figure: float, at_most: float) -> None:
        self.aims.append((words, figure, at_most))


def numbers() -> Callable[[str], str]:
    """Makes every text a new one."""
    count = 0

    def fill(text: str) -> str:
        nonlocal count
        count += 1
        return text.replace("N", str(1000 + count))

    return fill


class Benchmark:
    """All measurements of one run."""

    def __init__(self, installed: Installed, evcxr: Evcxr | None, rounds: int, starts: int) -> None:
        self.installed = installed
        self.evcxr = evcxr
        self.rounds = rounds
        self.starts = starts
        self.fill = numbers()
        self.rows: list[Row] = []
        self.notes: dict[str, object] = {}

    def session(self) -> Session:
        return Session(self.installed.argv)

    def run(self, parts: list[str]) -> None:
        for part in (getattr(self, name) for name in parts):
            begun = time.monotonic()
            part()
            print(f"  {part.__name__}: {time.monotonic() - begun:.0f} s", flush=True)

    def row(self, what: str, values: list[float], unit: str = "s") -> Row:
        self.rows.append(Row(what, values, unit))
        return self.rows[-1]

    def beginnings(self) -> None:
        """Kernels that are started for one cell."""
        info, expressions, lets, late, later = [], [], [], [], []
        for _ in range(self.starts):
            with self.session() as session:
                info.append(session.ready())
                session.run(self.fill(CELLS["helper expression"]))
                expressions.append(session.age)
            with self.session() as session:
                session.ready()
                session.run(self.fill(CELLS["let"]))
                lets.append(session.age)
            with self.session() as session:
                session.ready()
                # What is measured is a cell at this age, so this is no waiting for something.
                time.sleep(max(0.0, 6 - session.age))
                late.append(session.run(self.fill(CELLS["let"])))
                later.append(median([session.run(self.fill(CELLS["let"])) for _ in range(5)]))
        row = self.row("start to kernel_info_reply", info)
        row.aim("s", median(info), 0.3)
        row = self.row("start to the answer of a helper expression sent at once", expressions)
        row.aim("s", median(expressions), 3.5)
        row = self.row("start to the answer of a `let` sent at once", lets)
        row.aim("s", median(lets), 4)
        row = self.row("first `let`, 6 s after the start", late)
        row.aim("× a later one", median(late) / median(later), 1.5)

    def kinds(self) -> None:
        """Cells of each kind, alternating: here, in evcxr_jupyter, and rustc alone."""
        bare = BareCompiler(self.installed)
        own: dict[str, list[float]] = {}
        other: dict[str, list[float]] = {}
        rustc: list[float] = []
        theirs = self.evcxr.start() if self.evcxr else None
        try:
            if self.evcxr and theirs:
                self.notes["evcxr_jupyter ready (s)"] = theirs.ready()
                print("  the helper library for evcxr_jupyter (the first time, minutes)", flush=True)
                self.notes["evcxr_jupyter :dep (s)"] = self.evcxr.add_helper(theirs)
                self.notes["evcxr_jupyter first let (s)"] = theirs.run(self.fill(CELLS["let"]))
            with self.session() as session:
                session.run(self.fill(CELLS["let"]))
                kinds = {**CELLS, "without ?": WITHOUT_QUESTION, "with ?": QUESTION}
                for count in range(self.rounds + 1):
                    for kind, text in kinds.items():
                        code = self.fill(text)
                        times = own.setdefault(kind, [])
                        times.append(session.run(code))
                        if theirs and kind in CELLS:
                            other.setdefault(kind, []).append(theirs.run(code))
                    failing = own.setdefault("failing", [])
                    failing.append(session.run(self.fill(FAILING), status="error"))
                    rustc.append(bare.run())
                    if count == 0:
                        # The first of each kind finds nothing in the caches of the file system.
                        for times in (*own.values(), *other.values(), rustc):
                            times.clear()
        finally:
            if theirs:
                theirs.__exit__(None, None, None)
        self.row("rustc and linker alone, a one-line library", rustc)
        faster = {"helper expression": 5, "print": 3, "let": 3, "fn item": 3}
        for kind in CELLS:
            row = self.row(kind, own[kind])
            row.aim("× rustc alone", median(own[kind]) / median(rustc), 3.5 if kind == "let" else 2.5)
            if kind in other:
                row.others["evcxr_jupyter"] = other[kind]
                row.aim(
                    "× evcxr_jupyter", median(own[kind]) / median(other[kind]), 1 / faster[kind]
                )
        for kind, what, plain in [
            ("with ?", "a cell with `?`", "without ?"),
            ("failing", "a `let` that does not compile", "let"),
        ]:
            row = self.row(what, own[kind])
            row.aim("× a plain one", median(own[kind]) / median(own[plain]), 1.5)
        self.memory()

    def memory(self) -> None:
        """Processes of a session that ran ten cells."""
        held = self.held(self.session(), "benchbook")
        row = self.row("memory of all processes after ten cells", [held], "MB")
        if self.evcxr:
            theirs = self.evcxr.start()
            self.evcxr.add_helper(theirs)
            their_memory = self.held(theirs, "evcxr_jupyter")
            row.others["evcxr_jupyter"] = [their_memory]
            row.aim("× evcxr_jupyter", held / their_memory, 0.4)

    def held(self, session: Session, name: str) -> float:
        with session:
            session.ready()
            for _ in range(3):
                for kind in ("let", "helper expression", "print"):
                    session.run(self.fill(CELLS[kind]))
            session.run(self.fill(CELLS["fn item"]))
            time.sleep(3)  # "Idle" is a length of time here.
            memory = session.memory()
        self.notes[f"memory of {name} (MB)"] = memory
        return sum(memory.values())

    def growth(self) -> None:
        """A session with 60 items and 40 variables, cell by cell."""
        with self.session() as session:
            session.run("let kept = 1;")

            def twenty() -> list[float]:
                return [
                    session.run(self.fill("(kept, " + CELLS["helper expression"] + ")"))
                    for _ in range(self.rounds)
                ]

            early = twenty()
            for count in range(60):
                session.run(f"fn f{count}(x: f64) -> f64 {{ (x + {count}.0).sin() }}")
            for count in range(40):
                session.run(f"let v{count} = (benchbook::tch::Tensor::new(), {count});")
            late = twenty()
        row = self.row("helper expression after 60 items and 40 variables", late)
        row.others["before"] = early
        row.aim("× the same before", median(late) / median(early), 1.2)

    def calls(self) -> None:
        """Prebuilt code, called from a cell and from a compiled program."""
        processes, rounds = max(self.rounds // 2, 2), 2
        for name, found in inside.measure(self.installed, processes, rounds).items():
            row = self.row(f"{name} in a cell", found["cell_s"])
            row.others["compiled program"] = found["program_s"]
            low, high = found["interval"]
            self.notes[f"{name}: ratio, 95 % interval"] = [found["ratio"], low, high]
            # The interval has to include 1 or to lie below 1.02; one as wide as that decides nothing.
            wide = ", too wide to decide" if low <= 1 and high > 1.1 else ""
            row.aim(
                f"× a compiled program (95 %: {low:.3f} to {high:.3f}{wide})",
                found["ratio"],
                1.02 if low > 1 else max(1.02, high),
            )


def table(rows: list[Row]) -> str:
    """Medians, spread and ratios as text."""
    lines = [f"{'':56}{'median':>9}{'quartiles':>18}  compared with its aim"]
    for row in rows:
        low, high = quartiles(row.seconds)
        digits = 0 if row.unit == "MB" else 3
        shown = f"{median(row.seconds):.{digits}f} {row.unit}"
        spread = f"{low:.{digits}f} to {high:.{digits}f}"
        lines.append(f"{row.what:56}{shown:>9}{spread:>18}".rstrip())
        for name, values in row.others.items():
            low, high = quartiles(values)
            shown = f"{median(values):.{digits}f} {row.unit}"
            spread = f"{low:.{digits}f} to {high:.{digits}f}"
            lines.append(f"{'    ' + name:56}{shown:>9}{spread:>18}")
        for words, figure, at_most in row.aims:
            verdict = "reached" if figure <= at_most else "NOT reached"
            lines.append(f"{'':85}{figure:.2f} {words}, aim {at_most:.2f}: {verdict}")
    return "\n".join(lines)


def main() -> None:
    arguments = parser("kernel", __doc__)
    arguments.add_argument("--rounds", type=int, default=20, help="cells of each kind")
    arguments.add_argument("--starts", type=int, default=5, help="kernels started for a row")
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    arguments.add_argument("--evcxr", help="the program evcxr_jupyter, if it is not on PATH")
    arguments.add_argument("--no-evcxr", action="store_true", help="leave evcxr_jupyter out")
    options = arguments.parse_args()
    installed = Installed.find()
    cache = Path(os.environ.get("BENCHBOOK_CACHE") or Path.home() / ".cache/benchbook")
    evcxr = None if options.no_evcxr else Evcxr.find(options.evcxr, installed, cache)
    if evcxr is None and not options.no_evcxr:
        print(
            "evcxr_jupyter is not installed, so nothing is compared with it. To install it (10 minutes):\n"
            "  cargo install evcxr_jupyter --version 0.22.0 --locked"
        )
    facts = {
        "load before": os.getloadavg()[0],
        "rustc": installed.compiler,
        "template": installed.template.name,
        "evcxr_jupyter": evcxr.program if evcxr else None,
    }
    benchmark = Benchmark(installed, evcxr, options.rounds, options.starts)
    begun = time.monotonic()
    benchmark.run(options.parts)
    print()
    print(table(benchmark.rows))
    print()
    for name, value in {**facts, **benchmark.notes}.items():
        print(f"{name}: {value}")
    write(options.output, conditions=facts, notes=benchmark.notes, rows=[vars(row) for row in benchmark.rows])
    print(f"\n{time.monotonic() - begun:.0f} s; {options.output}")


if __name__ == "__main__":
    main()
