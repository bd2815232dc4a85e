"""`kernel/ARCHITECTURE.md` against the repository: its paths, its tests, and the invariants that the sources show."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "kernel/ARCHITECTURE.md").read_text()
FILES = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()


def spans() -> list[str]:
    """The code spans outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE))


def dependencies(crate: str) -> set[str]:
    return set(tomllib.loads((REPOSITORY / "kernel" / crate / "Cargo.toml").read_text())["dependencies"])


def test_every_path_of_the_page_exists():
    paths = [re.sub(r":.*", "", span) for span in spans()]
    paths = [path for path in paths if re.fullmatch(r"[\w./-]+\.(rs|py|md|cpp|json)|(kernel|environment)/[\w./-]+", path)]
    known = [f"/{file}" for file in FILES] + [f"/{parent}" for file in FILES for parent in Path(file).parents]

    def exists(path: str) -> bool:
        # The page leaves out the beginning of paths, and what "Promises" says of `jupyter/…`.
        full = path.rstrip("/").replace("jupyter/", "jupyter/tests/integration/", 1)
        return any(file.endswith((f"/{path.rstrip('/')}", f"/{full}")) for file in known)

    generated = {"names.json", "template.json", "config.json"}
    assert len(paths) > 100 and [path for path in paths if path not in generated and not exists(path)] == []


def test_every_test_of_the_page_exists():
    names = {name for span in spans() for name in re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+){4,}\b", span)}
    sources = "\n".join((REPOSITORY / file).read_text() for file in FILES if file.endswith((".rs", ".py")))
    defined = set(re.findall(r"\b(?:fn|def) (\w+)", sources))
    assert len(names) > 40 and sorted(names - defined) == []


def test_only_the_evaluator_uses_evcxr():
    uses = re.compile(r"^\s*use evcxr\b|\bevcxr::", re.MULTILINE)
    users = [file for file in FILES if file.endswith(".rs") and uses.search((REPOSITORY / file).read_text())]
    evaluator = ("kernel/server/src/evaluate.rs", "kernel/server/src/evaluate/")
    assert users and not [file for file in users if not file.startswith(evaluator)]


@pytest.mark.parametrize(
    ("crate", "excluded"),
    [
        ("server", {"benchbook", "benchbook-libtorch", "benchbook-tensorflow", "tch"}),
        ("nets", {"benchbook-backend", "benchbook-libtorch", "benchbook-tensorflow", "benchbook"}),
        ("backend", {"benchbook-libtorch", "benchbook-tensorflow", "benchbook", "tch"}),
        ("weights", {"benchbook-libtorch", "benchbook-tensorflow", "benchbook", "tch"}),
        ("study", {"benchbook-libtorch", "benchbook-tensorflow", "benchbook", "tch"}),
        ("data", {"benchbook-backend", "benchbook-libtorch", "benchbook-tensorflow", "benchbook", "tch"}),
        ("libtorch", {"benchbook", "benchbook-tensorflow"}),
        ("tensorflow", {"benchbook", "benchbook-libtorch", "tch"}),
    ],
)
def test_dependencies_go_one_way(crate: str, excluded: set[str]):
    assert not dependencies(crate) & excluded
