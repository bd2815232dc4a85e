"""What results become outside of Benchbook, read by the programs that people use, and a published record run again."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pandas
import pytest

from driver import Kernel
from test_study import python_of_references

RECORDS = Path(__file__).parents[2] / "notebooks" / "records"
# A study that is kept: four libraries, rounds that count and one that warms up.
(STUDY,) = (RECORDS / "6-comparison").glob("laptop-scale-*.jsonl")
VEGA_LITE = "application/vnd.vegalite.v5+json"


@pytest.fixture(scope="module")
def results(program: Path, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the kept study in every form."""
    folder = tmp_path_factory.mktemp("results")
    outputs = ["--csv", folder, "--tensorboard", folder / "events", "--html", folder / "study.html", "--chart", folder / "train.json"]
    command = [program, "study", "--template", template, "--show", STUDY, *outputs]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in STUDY.read_text().splitlines()]
    return [record for record in lines if record["status"]["state"] != "checked"]


def test_pandas_reads_a_row_a_run_with_numbers_as_numbers(results: Path, records: list[dict[str, Any]]) -> None:
    runs = pandas.read_csv(results / "runs.csv")
    assert len(runs) == len(records)
    # The default reader of pandas 2 may miss the last bit.
    assert list(runs["train_s"]) == pytest.approx([record["phases"]["train"] for record in records], rel=1e-12)
    assert list(runs["val_loss"]) == pytest.approx([record["metrics"]["val_loss"] for record in records], rel=1e-12)
    columns = pandas.read_csv(results / "columns.csv", keep_default_na=False)
    documented = columns[columns["table"] == "runs"].set_index("column")
    assert list(documented.index) == list(runs.columns)
    for name, unit in documented["unit"].items():
        if unit:
            assert pandas.api.types.is_numeric_dtype(runs[name]), f"{name} [{unit}]: {runs[name].dtype}"
    assert runs["warm_up"].dtype == runs["counts"].dtype == bool
    assert runs["round"].dtype == runs["images_trained"].dtype == "int64"

    summary = pandas.read_csv(results / "summary.csv").set_index("backend")
    medians = runs[runs["counts"]].groupby("backend")["train_s"].median()
    assert summary["train_s"].to_dict() == pytest.approx(medians.to_dict())
    assert summary["train_ratio"].dtype == "float64" and summary["ratio_counts"].dtype == bool


# Prints step, time and scalars of each event; TensorFlow checks every checksum.
READER = """
import json, sys
import tensorflow as tf
for path in sys.argv[1:]:
    events = [tf.compat.v1.Event.FromString(data.numpy()) for data in tf.data.TFRecordDataset(path)]
    assert events[0].file_version == "brain.Event:2", events[0]
    for event in events[1:]:
        values = {value.tag: value.simple_value for value in event.summary.value}
        print(json.dumps([path, event.step, event.wall_time, values]))
"""


def test_tensorflow_reads_the_scalars_of_each_epoch(results: Path, records: list[dict[str, Any]]) -> None:
    files = sorted((results / "events").glob("*/events.out.tfevents.*"))
    assert len(files) == len({file.parent for file in files}) == len(records)
    ran = subprocess.run([python_of_references(), "-c", READER, *files], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]
    assert len(found) == sum(len(record["epochs"]) for record in records)
    record = next(r for r in records if r["place"]["backend"] == "libtorch" and r["place"]["round"] == 2)
    mine = [event for event in found if Path(event[0]).parent.name == "libtorch-round-2"]
    assert [step for _, step, _, _ in mine] == [epoch["epoch"] for epoch in record["epochs"]]
    for (*_, time, values), epoch in zip(mine, record["epochs"], strict=True):
        seconds = epoch["training_seconds"] + epoch["validation_seconds"] + epoch["callback_seconds"]
        named = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
        assert values == pytest.approx({name: epoch[name] for name in named} | {"seconds": seconds}, rel=1e-6)
        assert record["started"] < time < record["started"] + record["wall_seconds"]


def test_the_page_has_everything_and_loads_nothing(results: Path, records: list[dict[str, Any]]) -> None:
    page = (results / "study.html").read_text()
    assert re.findall(r"src=|href=|url\(|@import|<script|<link", page) == []
    assert set(re.findall(r"https?://[^\s\"<]+", page)) <= {"http://www.w3.org/2000/svg"}
    runs = page.split("<h2>Every run</h2>")[1].split("</table>")[0]
    assert runs.count("<tr>") == len(records) + 1
    environment = records[0]["environment"]
    for words in (environment["cpu"], environment["os"], environment["kernel"], records[0]["library"]["version"], "<svg"):
        assert words in page, words


@pytest.fixture(scope="module")
def vega_lite() -> jsonschema.Draft7Validator:
    """Vega-Lite's published schema, which Altair carries."""
    spec = importlib.util.find_spec("altair")
    assert spec and spec.origin, "altair is not installed: pip install -r environment/requirements.txt"
    path = Path(spec.origin).parent / "vegalite" / "v5" / "schema" / "vega-lite-schema.json"
    return jsonschema.Draft7Validator(json.loads(path.read_text()))


def test_the_charts_of_a_study_are_specifications_of_vega_lite(
    results: Path, records: list[dict[str, Any]], vega_lite: jsonschema.Draft7Validator
) -> None:
    spec = json.loads((results / "train.json").read_text())
    vega_lite.validate(spec)
    bars, *_, runs = spec["layer"]
    counting = [record for record in records if not record["place"]["warm_up"]]
    assert len(bars["data"]["values"]) == 4 and len(runs["data"]["values"]) == len(counting)
    net, subtitle = records[0]["net"], spec["title"]["subtitle"]
    assert records[0]["environment"]["cpu"] in subtitle
    assert f"{net['name']}, {net['input_size'][0]} × {net['input_size'][1]} px" in subtitle


CHARTS = {
    "bars": 'BarChart::new("Train", ["K80", "P100"]).y("time [s]").series("a", [295.0, 407.0])?.runs([vec![290.0, 300.0], vec![407.0]])?'
    '.series_with_interval("b", [938.0, f64::NAN], [900.0, 1.0], [950.0, 2.0])?.log_y()',
    "named bars": 'BarChart::of("Build", [("a", 0.46), ("a", 1.96)])',
    "lines": 'LineChart::new("Loss").x("epoch").y("loss").series("", [0.7, f64::NAN, 0.4])?.runs([1.0, 2.0], [0.6, 0.8])?.y_range(0.0, 1.0)',
    "many points": 'LineChart::new("Noise").series("a", (0..100).map(f64::from).collect::<Vec<_>>())?',
    "scatter": 'Scatter::new("Runs").x("s").y("accuracy").points_with_error("a", [1.0, 2.0], [0.5, 0.6], [0.1, 0.1])?',
    "curves": 'Curves::new("VGG16").metric("accuracy", [0.5, 0.7], [0.6, 0.8]).metric("loss", [0.7, 0.5], Vec::<f64>::new())',
    "confusion": 'ConfusionMatrix::new("Cats", ["cat", "dog"], [[9, 1], [2, 8]])?',
    "histogram": 'Histogram::new("Sizes", [1.0, 2.0, 2.5], 3)?.x("pixels")',
}


@pytest.mark.parametrize("kind", CHARTS)
def test_every_chart_is_a_valid_specification_on_request(kernel: Kernel, vega_lite: jsonschema.Draft7Validator, kind: str) -> None:
    cell = kernel.good(f"let chart = {CHARTS[kind]};\ndisplay(&chart.vega_lite());")
    (shown,) = [content["data"] for content in cell.of("display_data")]
    vega_lite.validate(shown[VEGA_LITE])
    assert shown[VEGA_LITE]["$schema"].endswith("/vega-lite/v5.json")
    assert shown["text/plain"] == shown[VEGA_LITE]["description"]


JOB = {
    "net": {"architecture": "vgg16", "size": 32},
    "build": {"device": "cpu", "threads": 1},
    "fit": {"epochs": 2, "batch_size": 4, "optimizer": {"name": "sgd", "momentum": 0.9}, "learning_rate": 0.001},
}


def benchbook(program: Path, template: Path, folder: Path, *words: Any, status: int = 0) -> str:
    command, *rest = words
    ran = subprocess.run([program, command, "--template", template, *rest], capture_output=True, text=True, cwd=folder)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout if status == 0 else ran.stderr


def test_a_published_record_runs_again_beside_its_figures_with_every_difference(
    program: Path, template: Path, draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = draw(tmp_path / "somewhere" / "images", 8, 4, 4)
    (tmp_path / "job.json").write_text(json.dumps(JOB | {"data": str(images)}))
    benchbook(program, template, tmp_path, "bench", "job.json", "--record", "record.json")
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["job"]["data"] == "images" and record["job"]["fit"]["learning_rate"] == 0.001

    missing = benchbook(program, template, tmp_path, "reproduce", "record.json", status=2)
    assert "the images of the record are not at images; give their place with --data FOLDER" in missing

    # Another processor's instructions, and a byte behind an image's end.
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    changed = next((images / "train").rglob("*.jpg"))
    changed.write_bytes(changed.read_bytes() + b"\0")
    said = benchbook(program, template, tmp_path, "reproduce", "record.json", "--data", images, "--records", "again.jsonl")
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    # A disturbed run is repeated.
    assert [run["place"]["round"] for run in again if not run["place"].get("attempt")] == [0, 1, 2, 3]
    assert {run["library"]["name"] for run in again} == {record["library"]["name"]}
    assert {run["images_seen"]["training"] for run in again} == {record["images_seen"]["training"]}
    row = next(line for line in said.splitlines() if line.startswith("train [s]"))
    assert re.search(r"~\d+\.\d\d.*~ \[", row), said
    assert "not comparable: " in said and "ONEDNN_MAX_CPU_ISA=AVX2" in said
    # Conditions that differ, after the figures.
    listed = said.split("\ncondition")[1].splitlines()
    (images_row,) = [line.split() for line in listed if line.startswith("images ")]
    assert images_row[1] == record["data"]["files_sha256"][:12] != images_row[2]
    assert any(line.startswith("environment ") and "ONEDNN_MAX_CPU_ISA=AVX2" in line for line in listed), said

    # A study's line carries its job too, and a record without one says so.
    said = benchbook(program, template, tmp_path, "reproduce", "again.jsonl", "--line", "2", "--data", images, "--records", "third.jsonl")
    assert "\nimages " not in said and "validation accuracy" in said
    older = benchbook(program, template, tmp_path, "reproduce", RECORDS / "1-colab-keras" / "record.json", status=2)
    assert "must be a record with its whole job" in older and "got none" in older
