"""Charts of executed notebooks against records."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

sys.path.insert(0, str(Path(__file__).parents[1] / "notebook"))

import charts  # noqa: E402
import kept  # noqa: E402
import source as sources  # noqa: E402

RECORD = {
    "name": "small, tiny scale",
    "started": 7,
    "data": {"name": "drawings"},
    "phases": {"load": 0.1, "build": 0.25, "train": 3.5, "test": None},
    "history": {"epochs": [{"loss": 0.7, "val_loss": 0.69, "accuracy": 0.5}, {"loss": 0.6, "val_loss": None, "accuracy": 0.75}]},
}
ID = "small, tiny scale@7"


def source(pointer, record=ID):
    return {"record": record, "pointer": pointer}


def bars(categories, *sources, **series):
    data = {"title": "Times", "categories": categories, "sources": list(sources)}
    data["series"] = [{"name": name, "values": values, "error": []} for name, values in series.items()]
    return {"chart": "bars", "data": data}


def curves(**series):
    panel = {"y": "loss", "series": [{"name": name, "x": [1, 2], "y": values} for name, values in series.items()]}
    return {"chart": "curves", "data": {"title": "Curves", "panels": [panel], "sources": [source("/history/epochs")]}}


def notebook(*shown):
    outputs = [new_output("display_data", {charts.DATA_MIME: chart, "text/plain": ""}) for chart in shown]
    return new_notebook(cells=[new_code_cell("chart", outputs=outputs)])


def faults(*shown, **more):
    return charts.faults(notebook(*shown), {ID: RECORD, **more})


def test_named_bars_are_the_records_phases():
    assert faults(bars([""], source("/phases"), load=[0.1], build=[0.25])) == []
    assert "'build', [0.1]" in faults(bars([""], source("/phases"), load=[0.1], build=[0.1]))[0]


def test_bars_with_a_source_each_are_held_against_their_own():
    both = (source("/phases/load"), source("/times/load", "report"))
    report = {"times": {"load": 2.04}}
    assert faults(bars([""], *both, here=[0.1], report=[2.04]), report=report) == []
    assert len(faults(bars([""], *both, here=[2.04], report=[0.1]), report=report)) == 2


def test_categories_are_names_in_the_record():
    assert faults(bars(["load", "train"], source("/phases"), LibTorch=[0.1, 3.5])) == []
    assert len(faults(bars(["load", "train"], source("/phases"), LibTorch=[3.5, 0.1]))) == 1


def test_curves_are_columns_of_the_history():
    assert faults(curves(training=[0.7, 0.6], validation=[0.69, None])) == []
    assert len(faults(curves(training=[0.6, 0.7]))) == 1
    assert len(faults(curves(validation=[0.7, 0.6]))) == 1, "training's numbers are not validation's"


def test_a_number_may_be_off_by_its_last_bit_and_no_more():
    assert faults(bars([""], source("/phases"), load=[0.1 + 1e-16])) == []
    assert len(faults(bars([""], source("/phases"), load=[0.1 + 1e-9]))) == 1


def test_a_chart_without_source_draws_numbers_of_some_record():
    assert faults(bars([""], load=[0.1])) == []
    assert len(faults(bars([""], load=[0.11]))) == 1


def test_a_source_that_is_not_there_is_named():
    assert "no record has its source 'other@1'" in faults(bars([""], source("/phases", "other@1"), load=[0.1]))[0]
    assert "no record has its source 'nothing'" in faults(bars([""], source("/nothing"), load=[0.1]))[0]


def test_a_notebook_without_charts_shows_nothing_that_could_be_checked(tmp_path):
    assert charts.check(notebook(), []) == ["the notebook has no chart"]


@pytest.fixture
def study(tmp_path):
    """Records of a study as a notebook's check reads them: three rounds that count and a warm-up."""

    def run(backend, seconds, round, state="ok"):
        place = {"study": "s", "backend": backend, "round": round, "warm_up": round == 0}
        epochs = [{"val_accuracy": 0.5 + 0.1 * round}, {"val_accuracy": 0.9}]
        steps = [] if seconds is None else [9.0, seconds / 10, 0.0]
        return {"status": {"state": state}, "place": place, "phases": {"train": seconds}, "epochs": epochs, "step_seconds": steps}

    runs = [run("libtorch", 9.0, 0), run("libtorch", 1.0, 1), run("libtorch", 3.0, 2), run("libtorch", 2.5, 3)]
    runs += [run("tensorflow", 4.0, 1), run("tensorflow", 6.0, 2), run("tensorflow", None, 3, state="failed")]
    path = tmp_path / "study.jsonl"
    path.write_text("\n".join(map(json.dumps, runs)) + "\n")
    return charts.read_records(charts.files([tmp_path]))


def test_bars_of_a_study_are_medians_of_its_good_runs(study):
    chart = bars([""], source("/phases/train", "study"), libtorch=[2.5], tensorflow=[5.0])
    assert charts.faults(notebook(chart), study) == []
    chart = bars([""], source("/phases/train", "study"), libtorch=[3.0], tensorflow=[5.0])
    assert len(charts.faults(notebook(chart), study)) == 1


def test_steps_of_a_study_are_medians_over_runs_of_the_medians_of_their_steps(study):
    # In each run the second of three; then the median of 0.1, 0.3 and 0.25, and of 0.4 and 0.6.
    chart = bars([""], source("/median/step_seconds", "study"), libtorch=[0.25], tensorflow=[0.5])
    assert charts.faults(notebook(chart), study) == []
    chart = bars([""], source("/median/step_seconds", "study"), libtorch=[0.25], tensorflow=[0.4])
    assert "'tensorflow', [0.4]" in charts.faults(notebook(chart), study)[0]


def test_the_last_check_of_a_study_decides_which_runs_count():
    def run(started, state, found):
        place = {"study": "s", "backend": "theano", "round": 1, "warm_up": False, "job": "j"}
        computes = {"found": found} if found else None
        return {"started": started, "status": {"state": state}, "place": place, "computes": computes, "phases": {"train": 1.0}}

    first = run(1, "ok", "unlike")
    for later, counts in [([], 0), (["alike"], 1), (["alike", "unchecked"], 1), (["alike", "unlike"], 0), (["unchecked"], 0)]:
        checks = [run(2 + at, "checked", found) for at, found in enumerate(later)]
        # In any order in the file.
        assert len(charts.Study([*checks, first]).runs) == counts, later


def test_ratios_of_a_study_are_computed_again_from_its_rounds(study):
    # 4/1 and 6/3; the third round of TensorFlow failed.
    chart = bars([""], source("/ratio/libtorch/phases/train", "study"), libtorch=[1.0], tensorflow=[3.0])
    assert charts.faults(notebook(chart), study) == []
    chart = bars([""], source("/ratio/libtorch/phases/train", "study"), libtorch=[1.0], tensorflow=[2.0])
    assert "'tensorflow', [2.0]" in charts.faults(notebook(chart), study)[0]


def test_lines_of_a_study_are_medians_at_each_epoch(study):
    def lines(**series):
        data = {"title": "Accuracy", "y": "validation accuracy", "sources": [source("/epochs/*/val_accuracy", "study")]}
        data["series"] = [{"name": name, "x": [1, 2], "y": values} for name, values in series.items()]
        return {"chart": "lines", "data": data}

    assert charts.faults(notebook(lines(libtorch=[0.7, 0.9], tensorflow=[0.65, 0.9])), study) == []
    assert len(charts.faults(notebook(lines(libtorch=[0.7, 0.9], tensorflow=[0.7, 0.9])), study)) == 1


def executed(tmp_path, record=RECORD):
    """A repository's notebook and the folder of its run."""
    text, folder = tmp_path / "notebooks/small.rs", tmp_path / "results/small"
    text.parent.mkdir()
    folder.mkdir(parents=True)
    text.write_text("// %%\nchart\n")
    nbformat.write(notebook(bars([""], source("/phases"), load=[0.1])), folder / "small.ipynb")
    (folder / "record.json").write_text(json.dumps(record))
    return folder, text


def test_kept_outputs_lie_beside_their_records_and_are_checked(tmp_path, capsys):
    folder, text = executed(tmp_path)
    assert kept.keep(folder, text) == 0
    assert (tmp_path / "notebooks/records/small/record.json").exists()
    assert sources.check([text]) == 0
    other = {**RECORD, "phases": {"load": 0.2}}
    (tmp_path / "notebooks/records/small/record.json").write_text(json.dumps(other))
    assert sources.check([text]) == 1
    assert "'load', [0.1]" in capsys.readouterr().out


def test_outputs_of_photos_or_of_another_notebook_are_not_kept(tmp_path):
    folder, text = executed(tmp_path, {**RECORD, "data": {"name": "photos"}})
    with pytest.raises(SystemExit, match="datasets/drawings"):
        kept.keep(folder, text)
    text.write_text("// %%\nother\n")
    with pytest.raises(SystemExit, match="was not executed from"):
        kept.keep(folder, text)
    assert not (tmp_path / "notebooks/records").exists()
