"""The words that messages, comments and documentation leave out, with what takes their place."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# A crate or folder joins the list once its words follow the rules.
PLACES = [
    *(f"kernel/{crate}" for crate in ("chart", "data", "display", "drawings", "guard", "helper", "jupyter", "server", "weights")),
    *(f"kernel/{crate}" for crate in ("backend", "conformance", "frames", "libtorch", "nets", "nvml", "tensorflow", "toy", "worker")),
    "kernel/python",
    "kernel/ranks",
    *(f"kernel/references/{package}" for package in ("burn", "candle", "common")),
    *(f"environment/{name}" for name in ("MEASURED.md", "README.md", "checks.sh", "hosted", "notebook", "references", "run", "setup.sh")),
    *(f"environment/{name}" for name in ("soak", "steps.sh", "tensorflow", "test", "wheel")),
    "datasets/README.md",
    "datasets/generate",
    "datasets/kaggle",
    "environment/bench",
    "environment/benchmarks",
    "environment/gpu",
    "environment/on_gpu",
    "environment/originals",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "kernel/ARCHITECTURE.md",
    "kernel/study",
    "notebooks",
]
INSTEAD = {
    r"pictures?(?![(\w])": "image",
    r"somebody|nobody": "the noun, or the passive",
    r"shall": "must, or the present tense",
    r"in turns": "alternating",
    r"as ever": "as before, or nothing",
    r"of before": "earlier",
    r"without a word": "silently",
    r"who asks|whose it is|what is none": "the noun",
    r"believed": "implausible",
    r"off by": "relative difference",
    r"no difference shown": "not significant",
    r"learning part": "trainable layers",
    r"goes on where": "resumes",
    r"goes? on from": "resumes",
    r"(?:its|pip's|system's) words": "messages",
    r"there again": "available again",
    r"(?:before|with) (?:the|a) point": "dot, or decimal point",
}
BANNED = [(re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE), instead) for words, instead in INSTEAD.items()]
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
COMMENT = re.compile(r"(?://[/!]?|#)\s(.*)")


def prose(path, text):
    """Each line of the file with what people read in it: documentation, comments, and messages, which have a space."""
    if path.suffix == ".md":
        fenced = False
        for number, line in enumerate(text.splitlines(), 1):
            fenced ^= line.lstrip().startswith("```")
            yield number, "" if fenced else line
        return
    for number, line in enumerate(text.splitlines(), 1):
        comment = COMMENT.search(line)
        yield number, comment[1] if comment and line[: comment.start()].count('"') % 2 == 0 else ""
    for message in STRING.finditer(text):
        if " " in message[1].strip():
            for offset, line in enumerate(message[1].splitlines()):
                yield text.count("\n", 0, message.start()) + 1 + offset, line


def findings(path, text):
    for number, line in prose(path, text):
        # Names of types and functions keep theirs.
        line = re.sub(r"`[^`]*`|\{[^}]*\}|\[[^\]]*\]\([^)]*\)|<[^>]*>", "", line)
        for banned, instead in BANNED:
            for found in banned.findall(line):
                yield f"{path}:{number}: {found!r}; better: {instead}"


def files(place):
    root = REPOSITORY / place
    for path in [root] if root.is_file() else sorted(root.rglob("*")):
        if path.is_file() and path.suffix in (".rs", ".py", ".md", ".sh", "") and "tests" not in path.relative_to(REPOSITORY).parts:
            yield path.relative_to(REPOSITORY)


@pytest.mark.parametrize("place", PLACES)
def test_the_text_has_no_banned_word(place):
    paths = list(files(place))
    assert paths, f"{place} has no file with text"
    found = [finding for path in paths for finding in findings(path, (REPOSITORY / path).read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.rs", '#[error("the Picture is broken")]', ["a.rs:1: 'Picture'; better: image"]),
        ("a.rs", 'let s = "first \\\n  shall end";', ["a.rs:2: 'shall'; better: must, or the present tense"]),
        ("a.rs", "/// Nobody waits.", ["a.rs:1: 'Nobody'; better: the noun, or the passive"]),
        ("a.rs", '/// `Picture` holds one.\nlet picture = 1; f("picture");', []),
        ("a.md", "In turns.\n```\nin turns\n```\n", ["a.md:1: 'In turns'; better: alternating"]),
    ],
)
def test_findings_name_the_line_and_the_better_word(name, text, expected):
    assert list(findings(Path(name), text)) == expected


if __name__ == "__main__":
    import sys

    for place in sys.argv[1:]:
        for path in files(place):
            print(*findings(path, (REPOSITORY / path).read_text()), sep="\n")
