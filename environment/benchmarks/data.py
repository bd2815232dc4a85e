"""Loading photos against PyTorch's DataLoader, tf.data and Keras' ImageDataGenerator, and each stage of ours.

800 photos to 224 x 224 pixels in batches of 32, in the order of the files: each pass is the first one of a process of
its own, over files that the system has in memory. Both sides take turns and use all cores (PyTorch two workers). Ours
has the filter and the random changes of the library that it is compared with; how far the pixels of the first batch
are apart stands beside it, and is held against a tolerance (without rotation; `kernel/tests/test_transforms.py`
compares that one angle by angle). Then our stages one by one, passes from both caches, and the memory of a pass over
1,000 and over 25,000 drawings, which are drawn into datasets/ the first time. There is no row for JPEG's scaled
decoding: our decoder has none (`kernel/data/src/decode/jpeg.rs`). Needs `.venv-references` and a folder of photos.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import PYTHON, RELEASE, REPOSITORY, cargo_build, header, need_references, parser, row, write

ORIGINAL = REPOSITORY / "environment" / "originals" / "data_pass.py"
ROTATION = {"Rotation": {"degrees": 180.0, "fill": "Nearest"}}


@dataclass(frozen=True)
class Comparison:
    """One library and our settings that do what it does."""

    library: str
    title: str
    settings: dict[str, Any]
    aim: float
    # Of the mean difference of the pixels, in levels of 0 to 255. Decoders round differently, most of all where they
    # interpolate colours; TensorFlow's takes the faster transform of less accuracy.
    tolerance: float


COMPARISONS = [
    Comparison("torch", "PyTorch DataLoader, torchvision.io, 2 workers", {"filter": "Bilinear"}, 2.0, 0.5),
    Comparison(
        "tensorflow",
        "tf.data, image_dataset_from_directory",
        {"filter": "BilinearNoAntialias", "preprocessing": {"Custom": []}},
        1.2,
        1.5,
    ),
    Comparison(
        "keras",
        "Keras ImageDataGenerator, rotation of 180°",
        {"filter": "Nearest", "augmentation": [ROTATION]},
        8.0,
        0.5,
    ),
]


def answer(command: list[Any]) -> dict[str, Any]:
    """What a program prints as JSON."""
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {ran.returncode}:\n{ran.stderr}")
    return json.loads(ran.stdout)


def ours(folder: Path, settings: dict[str, Any], epochs: int = 1) -> dict[str, Any]:
    config = {"shuffle": False} | settings
    return answer([RELEASE / "examples" / "pass", folder, json.dumps(config), epochs])


def rate(passed: dict[str, Any]) -> float:
    """Images a second from opening the folder to the last batch."""
    return passed["pictures"] / (passed["list_seconds"] + passed["epochs"][0]["seconds"])


def difference(folder: Path, comparison: Comparison) -> dict[str, float]:
    """How far the pixels of the first batch are from the library's, in levels of 0 to 255."""
    settings = comparison.settings | {"shuffle": False, "augmentation": [], "preprocessing": {"Custom": []}}
    with tempfile.TemporaryDirectory() as scratch:
        # A folder with the first 32 images alone, of one class, for our side.
        first = sorted(folder.iterdir())[0]
        part = Path(scratch, "part", first.name)
        part.mkdir(parents=True)
        for path in sorted(first.iterdir())[:32]:
            (part / path.name).symlink_to(path.resolve())
        found, expected = Path(scratch, "ours"), Path(scratch, "theirs")
        answer([RELEASE / "examples" / "pixels", part.parent, json.dumps(settings), 0, found])
        subprocess.run([PYTHON, ORIGINAL, comparison.library, folder, expected], check=True, capture_output=True)
        values = [array.array("f", path.read_bytes()) for path in (found, expected)]
    assert len(values[0]) == len(values[1]), "both sides have 32 images"
    apart = [abs(a - b) for a, b in zip(*values)]
    return {"mean": statistics.fmean(apart), "largest": max(apart)}


def compare(folder: Path, rounds: int) -> list[dict[str, Any]]:
    results = []
    for comparison in COMPARISONS:
        rates: dict[str, list[float]] = {"benchbook": [], "python": []}
        for turn in range(rounds):
            for side in ["benchbook", "python"] if turn % 2 == 0 else ["python", "benchbook"]:
                if side == "benchbook":
                    rates[side].append(rate(ours(folder, comparison.settings)))
                else:
                    theirs = answer([PYTHON, ORIGINAL, comparison.library, folder])
                    rates[side].append(theirs["pictures"] / theirs["seconds"])
        medians = {side: statistics.median(values) for side, values in rates.items()}
        results.append(
            {
                "library": comparison.library,
                "title": comparison.title,
                "settings": comparison.settings,
                "images_per_second": rates,
                "median": medians,
                "ratio": medians["benchbook"] / medians["python"],
                "aim": comparison.aim,
                "difference": difference(folder, comparison),
                "tolerance": comparison.tolerance,
            }
        )
        print(line(results[-1]), flush=True)
    return results


COLUMNS = [
    "compared with", "Benchbook [images/s]", "Python [images/s]", "ratio", "aim", "pixels apart: mean (largest)",
    "tolerance of the mean",
]


def line(result: dict[str, Any]) -> str:
    median, apart = result["median"], result["difference"]
    return row([
        result["title"], f"{median['benchbook']:.0f}", f"{median['python']:.0f}", f"{result['ratio']:.2f}",
        f"{result['aim']:g}", f"{apart['mean']:.2f} ({apart['largest']:.0f})", f"{result['tolerance']:g}",
    ])


def stages(folder: Path, rounds: int) -> dict[str, float]:
    """Milliseconds an image of one thread, but for listing, which one thread does for all at once. A copy is what a
    GPU's memory would need; on a CPU a net takes the batch as it is."""
    passes = [ours(folder, {"augmentation": [ROTATION]}) for _ in range(rounds)]
    each = {"list": statistics.median(1e3 * p["list_seconds"] / p["pictures"] for p in passes)}
    for stage in ["read", "decode", "resize", "change"]:
        each[stage] = statistics.median(1e3 * p["epochs"][0][stage] / p["pictures"] for p in passes)
    return each | {"copy": statistics.median(1e3 * p["copy_seconds"] for p in passes)}


def caches(folder: Path, rounds: int) -> dict[str, Any]:
    """The second epoch of a loader with a cache, and the first one of a process that finds a disk cache."""
    found: dict[str, Any] = {"memory": [], "disk": []}
    with tempfile.TemporaryDirectory() as scratch:
        on_disk = {"cache": {"Disk": scratch}}
        ours(folder, on_disk)
        for _ in range(rounds):
            passed = ours(folder, {"cache": "Memory"}, 2)
            found["memory"].append(passed["pictures"] / passed["epochs"][1]["seconds"])
            found["disk"].append(rate(ours(folder, on_disk)))
            found["bytes"] = passed["cache_bytes"]
    return {name: statistics.median(value) if isinstance(value, list) else value for name, value in found.items()}


def memory(pictures: int) -> list[dict[str, Any]]:
    """The largest memory of a pass over few and over many drawings."""
    results = []
    for count in (1000, pictures):
        folder = REPOSITORY / "datasets" / f"drawings-bench-{count}"
        if not (folder / "train").is_dir():
            # The program writes into a missing or empty folder; a half-written one is in the way.
            shutil.rmtree(folder, ignore_errors=True)
            draw = [RELEASE / "benchbook-drawings", "--train", count, "--validation", 2, "--test", 0, "--size", 64]
            subprocess.run([*map(str, draw), "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
        passed = ours(folder / "train", {})
        results.append({"pictures": count, "peak_bytes": passed["peak_bytes"], "images_per_second": rate(passed)})
    return results


def chart(results: list[dict[str, Any]], path: Path) -> None:
    """Both sides as bars, drawn by Benchbook's own charts."""
    data = {
        "title": "Photos loaded to 224 × 224 pixels",
        "subtitle": "first pass of a fresh process, batch 32, all cores, median",
        "y": "images/s",
        "categories": [f"{r['title']}: {r['ratio']:.1f} ×" for r in results],
        "series": [
            {"name": "Benchbook", "values": [r["median"]["benchbook"] for r in results], "error": []},
            {"name": "Python", "values": [r["median"]["python"] for r in results], "error": []},
        ],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        subprocess.run([RELEASE / "examples" / "bars", file.name, path], check=True)


def main() -> None:
    arguments = parser("data", __doc__)
    arguments.add_argument("--data", type=Path, default=os.environ.get("BENCHBOOK_DATA"), help="an image folder")
    arguments.add_argument("--rounds", type=int, default=5, help="passes of each side")
    arguments.add_argument("--drawings", type=int, default=25_000, help="for the memory; 0 leaves it out")
    options = arguments.parse_args()
    if options.data is None:
        raise SystemExit("--data or BENCHBOOK_DATA has to name an image folder with photos")
    need_references()
    packages = ["-p", "benchbook-data", "-p", "benchbook-chart", "-p", "benchbook-drawings"]
    cargo_build(*packages, "--bins", "--example", "pass", "--example", "pixels", "--example", "bars")
    folder = options.data / "train"
    for path in folder.rglob("*.*"):
        # From here on the system has the files in memory, for both sides.
        path.read_bytes()
    results = compare(folder, options.rounds)
    each = stages(folder, options.rounds)
    kept = caches(folder, min(options.rounds, 3))
    peaks = memory(options.drawings) if options.drawings else []
    print("\n".join(["", header(COLUMNS), *map(line, results)]))
    print("\nstages, ms an image: " + ", ".join(f"{name} {value:.3f}" for name, value in each.items()))
    print(
        f"from a cache of {kept['bytes'] / 1e6:.0f} MB: in memory {kept['memory']:.0f} images/s, "
        f"on disk {kept['disk']:.0f} images/s"
    )
    for peak in peaks:
        print(f"{peak['pictures']} drawings: largest memory {peak['peak_bytes'] / 1e6:.0f} MB")
    write(options.output, rounds=options.rounds, results=results, stages_ms=each, caches=kept, memory=peaks)
    chart(results, options.output.with_suffix(".svg"))
    print(f"\n{options.output} and {options.output.with_suffix('.svg').name}")
    beyond = [r["title"] for r in results if r["difference"]["mean"] > r["tolerance"]]
    if beyond:
        raise SystemExit(f"pixel differences exceed the tolerance: {'; '.join(beyond)}")


if __name__ == "__main__":
    main()
