"""environment/notebook on small notebooks; Python's own kernel stands in for Benchbook's."""

import base64
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

sys.path.insert(0, str(Path(__file__).parents[1] / "notebook"))

import benchbook  # noqa: E402
import colab  # noqa: E402
import execute  # noqa: E402
import kept  # noqa: E402
import source as sources  # noqa: E402

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

SOURCE = """\
// %% [markdown]
// # Title

// %%
let x = 1;

// %%
x + 1
"""
WITH_FORM = """\
// %% [markdown]
// # Title
//
// Text.

// %% [markdown] tags=["kernel"]
// Only of the Rust notebook.

// %% tags=["parameters"]
let scale = String::from("auto"); // how large
let data = std::env::var("BENCHBOOK_DATA").unwrap_or("../datasets/drawings".into());
let weights = std::env::var("BENCHBOOK_WEIGHTS").unwrap_or_default();
let results = String::from("../results");
let seed: i64 = -3;
let shuffle: bool = true;

// %%
let fitted: Scale = scale.parse()?;

// %%
fitted
"""
# One black pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "small.rs"
    path.write_text(SOURCE)
    return path


def python_notebook(path, *cells):
    made = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python", "language": "python"}
    nbformat.write(made, path)
    return path


def test_a_source_becomes_a_notebook_for_this_kernel(source):
    made = nbformat.read(sources.make(source), as_version=4)
    assert made.metadata.kernelspec.name == "benchbook"
    assert [(cell.cell_type, cell.source) for cell in made.cells] == [
        ("markdown", "# Title"),
        ("code", "let x = 1;"),
        ("code", "x + 1"),
    ]


def test_the_same_source_gives_the_same_bytes(source):
    sources.make(source)
    first = source.with_suffix(".ipynb").read_bytes()
    source.with_suffix(".ipynb").unlink()
    sources.make(source)
    assert source.with_suffix(".ipynb").read_bytes() == first


def test_outputs_stay_while_the_source_is_unchanged(source):
    sources.make(source)
    path = source.with_suffix(".ipynb")
    made = nbformat.read(path, as_version=4)
    made.cells[2].outputs = [nbformat.v4.new_output("stream", text="2")]
    nbformat.write(made, path)
    sources.make(source)
    assert nbformat.read(path, as_version=4).cells[2].outputs[0].text == "2"
    assert sources.check([source]) == 0


def test_check_names_a_notebook_that_is_not_what_its_source_says(source, capsys):
    sources.make(source)
    source.write_text(SOURCE.replace("x + 1", "x + 2"))
    assert sources.check([source]) == 1
    said = capsys.readouterr().out
    assert str(source.with_suffix(".ipynb")) in said
    assert "0 of 1 notebooks" in said


def test_outputs_stay_when_only_the_text_around_the_code_changes(source):
    sources.make(source)
    path = source.with_suffix(".ipynb")
    made = nbformat.read(path, as_version=4)
    made.cells[2].outputs, made.cells[2].execution_count = [nbformat.v4.new_output("stream", text="2")], 2
    nbformat.write(made, path)
    source.write_text(SOURCE.replace("# Title", "# Other title"))
    sources.make(source)
    made = nbformat.read(path, as_version=4)
    assert (made.cells[0].source, made.cells[2].outputs[0].text, made.cells[2].execution_count) == ("# Other title", "2", 2)
    source.write_text(SOURCE.replace("x = 1", "x = 2"))
    sources.make(source)
    assert nbformat.read(path, as_version=4).cells[2].outputs == []


@pytest.fixture
def with_form(tmp_path):
    path = tmp_path / "small.rs"
    path.write_text(WITH_FORM)
    sources.make(path)
    return path


def form_of(source):
    return nbformat.read(source.parent / "colab" / "small.ipynb", as_version=4)


def test_a_source_with_a_cell_for_the_kernel_alone_has_a_form_in_python(with_form):
    form = form_of(with_form)
    nbformat.validate(form)
    assert form.metadata.kernelspec.name == "python3"
    title, install_text, install, _, images, settings, first, second = form.cells
    assert title.source.splitlines() == ["# Title", colab.badge("small"), "", "Text."]
    assert "Not published yet" in install_text.source
    assert install.source.splitlines() == [f"%pip install -q {colab.wheel()}", "!benchbook setup", "%load_ext benchbook"]
    assert "benchbook drawings --out drawings" in images.source
    assert settings.metadata.tags == ["parameters"]
    assert settings.source.splitlines() == [
        "import os",
        "",
        'scale = "auto"  # how large',
        'data = os.environ.get("BENCHBOOK_DATA", "drawings")',
        'weights = os.environ.get("BENCHBOOK_WEIGHTS", "")',
        'results = "."',
        "seed = -3",
        "shuffle = True",
    ]
    assert first.source == "%%rust -i scale,data,weights,results,seed,shuffle\nlet fitted: Scale = scale.parse()?;"
    assert second.source == "%%rust\nfitted"


def test_a_source_without_such_a_cell_has_none(source):
    sources.make(source)
    assert not (source.parent / "colab").exists()


def test_check_names_a_form_that_is_not_what_its_source_says(with_form, capsys):
    assert sources.check([with_form]) == 0
    path = with_form.parent / "colab" / "small.ipynb"
    path.write_text(path.read_text().replace("fitted", "other"))
    assert sources.check([with_form]) == 1
    assert f"{path} differs from {with_form}" in capsys.readouterr().out
    path.unlink()
    assert sources.check([with_form]) == 1


def test_a_setting_without_a_form_in_python_is_named(with_form):
    with_form.write_text(WITH_FORM.replace("seed: i64 = -3", "seed = compute()"))
    with pytest.raises(SystemExit, match=r"no form in Python: let seed = compute\(\);"):
        sources.make(with_form)


def test_papermill_sets_a_forms_settings_before_rust_receives_them(with_form):
    filled = parameterize_notebook(load_notebook_node(str(with_form.parent / "colab" / "small.ipynb")), {"scale": "tiny"})
    injected = next(index for index, cell in enumerate(filled.cells) if "injected-parameters" in cell.metadata.get("tags", []))
    assert filled.cells[injected].source == '# Parameters\nscale = "tiny"\n'
    assert filled.cells[injected + 1].source.startswith("%%rust -i scale,")


def test_a_form_runs_with_what_is_installed_in_the_folder_that_is_named(tmp_path):
    path = python_notebook(tmp_path / "form.ipynb", "%pip install no-such-package\n%load_ext autoreload", "import os; print(os.getcwd())")
    made = nbformat.read(path, as_version=4)
    made.cells[0].metadata.tags = ["install"]
    nbformat.write(made, path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert execute.run(path, tmp_path / "results", directory=elsewhere, installed=True) == 0
    executed = nbformat.read(tmp_path / "results" / "form.ipynb", as_version=4)
    assert executed.cells[0].source == "%load_ext autoreload"
    assert executed.cells[0].outputs == []
    assert executed.cells[1].outputs[0].text == f"{elsewhere}\n"


def test_the_page_of_notebooks_links_every_form_as_the_forms_themselves_do():
    forms = sorted((NOTEBOOKS / "colab").glob("*.ipynb"))
    assert len(forms) == 4
    text = (NOTEBOOKS / "README.md").read_text()
    for form in forms:
        assert colab.badge(form.stem) in text


def test_the_wheel_that_forms_install_has_the_packages_version():
    assert f"/benchbook-{benchbook.__version__}-py3-none-" in colab.wheel()


def test_a_run_leaves_notebook_page_and_figures(tmp_path, capsys):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    show = f"from IPython.display import display; display({{'image/svg+xml': {svg!r}, 'image/png': {PNG!r}}}, raw=True)"
    path = python_notebook(tmp_path / "figures.ipynb", "print('first')", show)
    assert execute.run(path, tmp_path / "results") == 0
    assert "[ 2/2]" in capsys.readouterr().out
    figures = tmp_path / "results" / "figures"
    assert sorted(figure.name for figure in figures.iterdir()) == ["cell-02-1.png", "cell-02-1.svg"]
    assert (figures / "cell-02-1.png").read_bytes() == base64.b64decode(PNG)
    assert (figures / "cell-02-1.svg").read_text() == svg
    page = (tmp_path / "results" / "figures.html").read_text()
    assert "prefers-color-scheme: dark" in page
    assert "first" in page
    executed = nbformat.read(tmp_path / "results" / "figures.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "first\n"


def test_a_failing_cell_is_shown_and_what_came_before_is_kept(tmp_path, capsys):
    path = python_notebook(tmp_path / "bad.ipynb", "print('before')", "answer = 41\nraise ValueError('broken')", "answer")
    assert execute.run(path, tmp_path / "results") == 1
    said = capsys.readouterr().err
    assert "code cell 2 of 3" in said
    assert "answer = 41" in said
    assert "broken" in said
    executed = nbformat.read(tmp_path / "results" / "bad.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "before\n"
    assert executed.cells[1].outputs[0].ename == "ValueError"


def test_a_notebook_edited_after_its_source_is_run_as_it_is(tmp_path, capsys):
    source = tmp_path / "edited.rs"
    source.write_text("// %%\nlet x = 1;\n")
    python_notebook(tmp_path / "edited.ipynb", "print('edit')")
    path, notebook = sources.prepare(tmp_path / "edited.ipynb")
    assert notebook.cells[0].source == "print('edit')"
    assert nbformat.read(path, as_version=4).cells[0].source == "print('edit')"
    assert "was edited after" in capsys.readouterr().out


def test_a_missing_kernel_is_named(tmp_path):
    path = python_notebook(tmp_path / "other.ipynb", "1")
    made = nbformat.read(path, as_version=4)
    made.metadata.kernelspec.name = "no-such-kernel"
    nbformat.write(made, path)
    with pytest.raises(SystemExit, match="no kernel named no-such-kernel"):
        execute.run(path, tmp_path / "results")


def test_parameters_stand_behind_their_cell_and_are_in_the_executed_notebook(tmp_path, capsys):
    path = python_notebook(tmp_path / "settings.ipynb", "scale = 'auto'", "print(scale)")
    made = nbformat.read(path, as_version=4)
    made.cells[0].metadata.tags = ["parameters"]
    nbformat.write(made, path)
    assert execute.run(path, tmp_path / "results", {"scale": "tiny"}) == 0
    executed = nbformat.read(tmp_path / "results" / "settings.ipynb", as_version=4)
    assert executed.cells[1].source.endswith('scale = "tiny"\n')
    assert executed.cells[2].outputs[0].text == "tiny\n"
    assert "scale tiny" in capsys.readouterr().out


def test_a_chart_that_is_not_its_records_is_a_failure(tmp_path, capsys):
    chart = {"chart": "bars", "data": {"title": "T", "categories": [""], "series": [{"name": "load", "values": [0.5], "error": []}]}}
    show = f"from IPython.display import display; display({{'application/vnd.benchbook.chart+json': {chart!r}}}, raw=True)"
    path = python_notebook(tmp_path / "chart.ipynb", show)
    record = tmp_path / "record.json"
    record.write_text('{"load": 0.5}')
    assert execute.run(path, tmp_path / "results") == 0
    executed = tmp_path / "results" / "chart.ipynb"
    assert kept.compare(executed, [record]) == 0
    record.write_text('{"load": 0.25}')
    assert kept.compare(executed, [record]) == 1
    assert "chart 'T'" in capsys.readouterr().err
