"""`%%rust` in a Python notebook: a real ipykernel, whose messages are those that the Rust cells have sent.

`BENCHBOOK_PYTHON_UNDER_TEST` names another Python that has ipykernel, numpy, pandas and the package `benchbook`, such as one with
Colab's releases. The raw messages go over IPC, as Colab's do, nbclient's and JupyterLab's over TCP.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from browser import Notebook, choose_kernel, opened
from driver import NAME, PATIENCE, Cell, Kernel, descendants, wait_until
from figures import RESULTS

PYTHON = os.environ.get("BENCHBOOK_PYTHON_UNDER_TEST", sys.executable)
SPEC, TITLE = "python-under-test", "Python under test"


@pytest.fixture(scope="module", autouse=True)
def python_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Has Jupyter know the Python under test, and that Python the kernel that is tested."""
    folder = tmp_path_factory.mktemp("jupyter")
    spec = folder / "kernels" / SPEC / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": TITLE, "language": "python"}))
    rust = Path(KernelSpecManager().get_kernel_spec(NAME).resource_dir).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", os.pathsep.join([str(folder), str(rust), os.environ.get("JUPYTER_PATH", "")]))
        yield


class Python(Kernel):
    """A Python kernel with the magic, over Unix sockets."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        super().__init__(environment, name=SPEC, transport="ipc", ip=str(folder / "ipc"))
        self.good("%load_ext benchbook")

    def rust(self, code: str, options: str = "", **rest: Any) -> Cell:
        return self.good(f"%%rust {options}\n{code}", **rest)

    def start_rust(self, code: str, options: str = "", **rest: Any) -> Cell:
        return self.start(f"%%rust {options}\n{code}", **rest)

    def failing(self, code: str, options: str = "") -> Cell:
        cell = self.run(f"%%rust {options}\n{code}")
        assert cell.status == "error", cell.problem
        assert len(cell.of("error")) == 1, cell.problem
        assert "Traceback" not in cell.traceback and ".py" not in cell.traceback, "nothing of Python's"
        return cell

    def interrupt(self) -> None:
        """As the stop button does."""
        self.manager.interrupt_kernel()

    @property
    def servers(self) -> list[int]:
        """The servers of the Rust sessions."""
        return [number for number, name in descendants(self.process).items() if name == "benchbook"]


def events(cell: Cell) -> list[tuple[str, str]]:
    """The outputs without those that are there only while the cell is compiled, which have no plain text."""
    found = [event for event in cell.events if event != ("display_data", "") and event != ("update_display_data", "")]
    return found[1:] if found[:1] == [("clear_output", "False")] else found


@pytest.fixture(scope="module")
def python(private_folders: None, python_kernel: None) -> Iterator[Python]:
    """A Python kernel that the tests share."""
    folder = Path(os.environ["TMPDIR"])
    kernel = Python(folder)
    # Whatever the Rust kernel has to say about itself, it says in the first cell.
    kernel.rust("let ready = true;")
    yield kernel
    kernel.stop()


@pytest.fixture
def own(tmp_path: Path, private_folders: None) -> Iterator[Any]:
    """Starts Python kernels of a test's own."""
    started: list[Python] = []
    folder = Path(os.environ["TMPDIR"])

    def start(environment: dict[str, str] | None = None) -> Python:
        place = folder / f"own-{len(started)}"
        place.mkdir(exist_ok=True)
        started.append(Python(place, environment))
        return started[-1]

    yield start
    for kernel in started:
        kernel.stop()


# --- Outputs -------------------------------------------------------------------------------------------


def test_outputs_keep_their_kinds_and_their_order(python: Python) -> None:
    cell = python.rust(
        """
        print!("a"); print!("b"); eprint!("c"); print!("d");
        let shown = display(&Bundle::text("e"));
        println!("f");
        shown.update(&Bundle::text("E"));
        clear_output(true);
        eprintln!("ünï 🦀");
        (6 * 7, "k")
        """
    )
    assert events(cell) == [
        ("stdout", "ab"),
        ("stderr", "c"),
        ("stdout", "d"),
        ("display_data", "e"),
        ("stdout", "f\n"),
        ("update_display_data", "E"),
        ("clear_output", "True"),
        ("stderr", "ünï 🦀\n"),
        ("execute_result", '(42, "k")'),
    ], cell.problem
    assert cell.of("execute_result")[0]["execution_count"] == cell.reply["execution_count"], "Python's count"
    assert python.value("_") == '(42, "k")'


def test_a_last_line_with_a_semicolon_shows_nothing(python: Python) -> None:
    assert events(python.rust("let seven = 7; seven;")) == []


def test_all_forms_of_an_output_arrive_unchanged(python: Python) -> None:
    cell = python.rust('Bundle::text("x").html("<b>x</b>").markdown("*x*").with("text/latex", "$x$").png(&[1, 2, 3])')
    assert cell.result == {
        "text/plain": "x",
        "text/html": "<b>x</b>",
        "text/markdown": "*x*",
        "text/latex": "$x$",
        "image/png": "AQID",
    }
    assert python.rust('benchbook::chart::plot(&[1.0, 3.0, 2.0])?').result["image/svg+xml"].startswith("<svg")
    shown = python.rust('display(&benchbook::chart::plot(&[1.0, 3.0, 2.0])?);').of("display_data")[-1]
    assert {"text/plain", "image/svg+xml"} <= shown["data"].keys()


def test_outputs_arrive_while_the_cell_runs(python: Python, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    cell = python.start_rust(
        f"""
        print!("half a line");
        let progress = display(&Bundle::text("0 %"));
        progress.update(&Bundle::text("50 %"));
        while !std::path::Path::new("{go_on}").exists() {{ std::thread::yield_now(); }}
        progress.update(&Bundle::text("100 %"));
        """
    )
    cell.wait_for_print("half a line")
    python.wait(lambda: ("update_display_data", "50 %") in events(cell), "the progress")
    assert not cell.idle and cell.answer is None
    go_on.touch()
    assert events(cell.finish())[-1] == ("update_display_data", "100 %"), cell.problem


def test_a_display_is_updated_from_a_later_cell(python: Python) -> None:
    first = python.rust('let kept = display(&Bundle::text("old"));').of("display_data")[-1]
    second = python.rust('kept.update(&Bundle::text("new"));').of("update_display_data")[-1]
    assert first["transient"]["display_id"] == second["transient"]["display_id"]
    assert second["data"]["text/plain"] == "new"


# --- Errors and interrupts -----------------------------------------------------------------------------


def test_errors_are_rusts_own(python: Python) -> None:
    cell = python.failing('println!("before");\nlet number: i32 = "twelve".parse()?;')
    assert (cell.ename, cell.evalue) == ("ParseIntError", "invalid digit found in string")
    assert events(cell) == [("stdout", "before\n"), ("error", "ParseIntError")]
    cell = python.failing('let fine = 1;\npanic!("boom");')
    assert (cell.ename, cell.evalue) == ("Panic", "boom")
    assert "line 2, column 1" in cell.traceback
    cell = python.failing("let a = 1;\nlet b: String = a;")
    assert cell.ename == "CompileError" and "mismatched types" in cell.traceback
    assert "let b: String = a;" in cell.traceback


def test_what_follows_a_failing_cell_is_aborted(python: Python) -> None:
    cells = [python.start_rust('panic!("boom")'), python.start("1 + 1")]
    assert [cell.finish().status for cell in cells] == ["error", "aborted"]


def test_the_stop_button_ends_the_cell_and_keeps_the_variables(python: Python) -> None:
    python.rust("let kept = vec![1, 2]; let mut rounds = 0u64;")
    for _ in range(2):
        cell = python.start_rust('loop { rounds += 1; if rounds % 1000 == 1 { println!("running"); } }')
        cell.wait_for_print("running")
        python.interrupt()
        assert cell.finish().ename == "KeyboardInterrupt", cell.problem
        assert len(cell.of("error")) == 1 and ".py" not in cell.traceback
    assert python.rust("(&kept, rounds > 1)").result["text/plain"] == "([1, 2], true)"


def test_the_stop_button_reaches_a_cell_that_waits_for_an_answer(python: Python) -> None:
    cell = python.start_rust('let never = input("wait")?;', allow_stdin=True)
    assert python.client.get_stdin_msg(timeout=PATIENCE)["content"]["prompt"] == "wait"
    python.interrupt()
    assert cell.finish().ename == "KeyboardInterrupt", cell.problem
    assert python.rust("1 + 1").result["text/plain"] == "2"


def test_the_stop_button_between_cells_does_nothing_to_rust(python: Python) -> None:
    python.interrupt()
    assert python.rust("{ let mut sum = 0; for i in 0..10 { sum += i; } sum }").result["text/plain"] == "45"


def test_questions_are_asked_by_the_front_end(python: Python) -> None:
    cell = python.start_rust('println!("first"); (input("Name? ")?, password("Key: ")?.len())', allow_stdin=True)
    for prompt, password, answer in (("Name? ", False, "Ferris ü"), ("Key: ", True, "12345")):
        question = python.client.get_stdin_msg(timeout=PATIENCE)["content"]
        assert question == {"prompt": prompt, "password": password}
        python.client.input(answer)
    assert cell.finish().result["text/plain"] == '("Ferris ü", 5)', cell.problem
    assert events(cell)[0] == ("stdout", "first\n")


def test_where_nobody_answers_a_question_fails_at_once(python: Python) -> None:
    cell = python.run('%%rust\ninput("Name? ")?', allow_stdin=False)
    assert cell.status == "error" and "allow" in cell.evalue, cell.problem


# --- Sessions ------------------------------------------------------------------------------------------


def test_sessions_have_variables_of_their_own(python: Python) -> None:
    python.rust("let shared_name = 1;")
    python.rust('let shared_name = "two"; struct Here;', "--name second")
    assert python.rust("shared_name").result["text/plain"] == "1"
    assert python.rust("shared_name", "--name second").result["text/plain"] == '"two"'
    assert python.failing("let here = Here;").ename == "CompileError"
    assert len(python.servers) == 2


def test_a_restart_ends_one_session(python: Python) -> None:
    python.rust("let gone = 1;")
    python.rust("let stays = 2;", "--name second")
    python.good("%rust_restart")
    assert python.failing("gone").ename == "CompileError"
    assert python.rust("stays", "--name second").result["text/plain"] == "2"
    python.good("%rust_restart --name second")
    assert python.failing("stays", "--name second").ename == "CompileError"
    wrong = python.run("%rust_restart --name nobody")
    assert wrong.status == "error" and "nobody" in wrong.evalue and "second" in wrong.evalue, wrong.problem


def test_a_crash_of_rust_code_is_told_by_the_kernel_itself(python: Python) -> None:
    python.rust("let lost = 1; fn kept() -> i32 { 2 }")
    cell = python.failing('println!("last words"); std::process::abort();')
    assert cell.ename == "WorkerDied" and "lost" in cell.evalue and cell.stdout == "last words\n", cell.problem
    assert python.rust("kept()").result["text/plain"] == "2"


def test_a_kernel_that_dies_is_told_and_the_next_cell_begins_anew(own: Any) -> None:
    python = own()
    python.rust("let lost = 1;")
    cell = python.start_rust('println!("running"); loop {}').wait_for_print("running")
    os.kill(python.servers[0], signal.SIGKILL)
    cell.finish()
    assert cell.ename == "KernelDied" and len(cell.of("error")) == 1, cell.problem
    assert "SIGKILL" in cell.evalue and "all variables, functions and imports" in cell.evalue and "lost" in cell.evalue
    assert python.failing("lost").ename == "CompileError"
    assert python.rust("1 + 1").result["text/plain"] == "2"
    # Between two cells, it is told with the next one.
    (server,) = python.servers
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: server not in python.servers or zombie(server), "the end of the server")
    cell = python.rust("6 * 7")
    assert cell.result["text/plain"] == "42"
    assert "SIGKILL" in cell.stderr and "lost" in cell.stderr


def zombie(process: int) -> bool:
    """Whether it has ended with all its threads, so that its parent can learn how."""
    ended = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    return ended and len(list(Path(f"/proc/{process}/task").iterdir())) == 1


def gone(processes: list[int]) -> bool:
    return not any(Path("/proc", str(process)).exists() for process in processes)


def leftovers(process: int) -> list[Path]:
    """Folders of a Python process and of the Rust kernels."""
    folder = Path(os.environ["TMPDIR"])
    return [*folder.glob(f"benchbook-python-{process}-*")]


def test_sessions_end_with_the_python_kernel(own: Any) -> None:
    python = own()
    python.rust("let a = 1;")
    python.rust("let b = 1;", "--name second")
    started, process = descendants(python.process), python.process
    sessions = set(Path(os.environ["TMPDIR"]).glob("benchbook-session-*"))
    assert len(python.servers) == 2 and len(leftovers(process)) == 2
    python.stop()
    wait_until(lambda: gone([*started]), "the end of the Rust kernels")
    assert leftovers(process) == []
    assert len(sessions & set(Path(os.environ["TMPDIR"]).glob("benchbook-session-*"))) == len(sessions) - 2


def test_sessions_end_with_a_killed_python_kernel(own: Any) -> None:
    python = own()
    python.start_rust('println!("running"); loop {}').wait_for_print("running")
    started, process = descendants(python.process), python.process
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: gone([*started]), "the end of the Rust kernels")
    assert len(leftovers(process)) == 1
    wait_until(lambda: not python.manager.is_alive(), "the end of Python")
    own().rust("let a = 1;")
    assert leftovers(process) == [], "the next session removes what the killed one has left"


def test_what_keeps_the_kernel_from_running_is_shown_as_it_says_it(own: Any) -> None:
    python = own({"LIBTORCH": "/nowhere"})
    python.good("x = 1")
    for options in ("", "-i x"):
        cell = python.failing("1 + 1", options)
        assert cell.ename == "KernelNotReady" and "/nowhere" in cell.evalue, cell.problem


# --- Values --------------------------------------------------------------------------------------------


ARRAYS = {
    "two dimensions": "np.arange(6, dtype='int32').reshape(2, 3)",
    "none": "np.array(2.5)",
    "empty": "np.zeros((0, 3), dtype='uint8')",
    "another byte order": "np.arange(4, dtype='>i2')",
    "negative strides": "np.arange(24.0, dtype='float32').reshape(2, 3, 4)[::-1, :, ::-2]",
    "columns first": "np.asfortranarray(np.arange(6.0).reshape(2, 3))",
    "read-only": "np.broadcast_to(np.array([1, 2], dtype='int8'), (3, 2))",
    "no finite numbers": "np.array([np.nan, np.inf, -0.0])",
}
DTYPES = {
    "bool": "Bool",
    "uint8": "Uint8",
    "int8": "Int8",
    "int16": "Int16",
    "int32": "Int",
    "int64": "Int64",
    "float16": "Half",
    "float32": "Float",
    "float64": "Double",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}


def test_arrays_of_all_dtypes_become_tensors_and_come_back(python: Python) -> None:
    python.good("import numpy as np")
    for dtype in DTYPES:
        python.good(f"a_{dtype} = np.array([[0, 1], [1, 0]]).astype('{dtype}')")
    names = ",".join(f"a_{dtype}" for dtype in DTYPES)
    kinds = ", ".join(f"a_{dtype}.kind()" for dtype in DTYPES)
    cell = python.rust(f"println!(\"{{:?}}\", [{kinds}]);", f"-i {names} -o {names}")
    assert cell.stdout == f"[{', '.join(DTYPES.values())}]\n"
    for dtype in DTYPES:
        expected = f"('{dtype}', [[0, 1], [1, 0]], True)"
        assert python.value(f"(a_{dtype}.dtype.name, a_{dtype}.astype(int).tolist(), a_{dtype}.flags.writeable)") == expected


def test_arrays_of_all_layouts_keep_shape_and_values(python: Python) -> None:
    python.good("import numpy as np\nbefore = [" + ", ".join(ARRAYS.values()) + "]")
    names = [f"a{number}" for number in range(len(ARRAYS))]
    python.good(f"{', '.join(names)} = before")
    cell = python.rust(
        f"println!(\"{{:?}}\", [{', '.join(f'{name}.size()' for name in names)}]);",
        f"-i {','.join(names)} -o {','.join(names)}",
    )
    assert cell.stdout == "[[2, 3], [], [0, 3], [4], [2, 3, 2], [2, 3], [3, 2], [3]]\n"
    same = f"[x.shape == y.shape and np.array_equal(x, y, equal_nan=True) for x, y in zip(before, [{', '.join(names)}])]"
    assert python.value(same) == str([True] * len(ARRAYS))


def test_tensors_that_rust_made_become_arrays(python: Python) -> None:
    python.rust(
        """
        let whole = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([2, 3]);
        let turned = whole.tr();
        let one = whole.get(1).get(2).set_requires_grad(true);
        """,
        "-o turned,one",
    )
    assert python.value("(turned.shape, turned.tolist(), one.shape, one.item())") == (
        "((3, 2), [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]], (), 5.0)"
    )
    assert python.rust("turned.size()").result["text/plain"] == "[3, 2]", "Rust still has it"


def test_numbers_texts_and_lists_cross_both_ways(python: Python) -> None:
    python.good(
        "yes, n, x, text = True, -2**63, float('nan'), 'ünï \"🦀\"\\n'\n"
        "flags, ints, floats, words, nested = [True, False], [1, -2], [0.1, float('inf')], ['a', ''], [[1.5], [2.5, 3.5]]"
    )
    names = "yes,n,x,text,flags,ints,floats,words,nested"
    before = python.value(f"repr(({names}))")
    cell = python.rust(
        "fn name<T>(_: &T) -> &'static str { std::any::type_name::<T>() }\n"
        + " ".join(f'println!("{{}}", name(&{variable}));' for variable in names.split(",")),
        f"-i {names}",
    )
    kinds = ["bool", "i64", "f64", "String", "Vec<bool>", "Vec<i64>", "Vec<f64>", "Vec<String>", "Vec<Vec<f64>>"]
    assert re.sub(r"\w+::", "", cell.stdout).split() == kinds
    python.good(f"del {names}")
    python.rust("//", f"-o {names}")
    assert python.value(f"repr(({names}))") == before


def test_more_types_of_rust_become_numbers_and_lists(python: Python) -> None:
    python.rust(
        """
        let small = 7u8; let size = usize::MAX; let single = 0.5f32; let quoted = "text";
        let losses: Vec<f32> = vec![0.5, 0.25]; let fixed = [1u16, 2]; let none: Vec<String> = vec![];
        """,
        "-o small,size,single -o quoted,losses,fixed,none",
    )
    assert python.value("(small, size, single, quoted, losses, fixed, none)") == (
        "(7, 18446744073709551615, 0.5, 'text', [0.5, 0.25], [1, 2], [])"
    )


def test_data_frames_become_named_columns_and_come_back(python: Python) -> None:
    python.good(
        "import pandas as pd\n"
        "table = pd.DataFrame({'epoch': [1, 2], 'loss': [0.5, float('nan')], 'best': [True, False], 'note': ['ü', '']})\n"
        "table['rate'] = table['loss'].astype('float32')\n"
        "before = table"
    )
    cell = python.rust(
        """
        use benchbook::python::DataFrame;
        println!("{:?} {:?}", table.column("epoch").unwrap().ints(), table.column("note").unwrap().texts());
        let summary = DataFrame::new().with("name", vec![String::from("a"), String::from("b")])?.with("n", vec![1, 2])?;
        """,
        "-i table -o table,summary",
    )
    assert cell.stdout == 'Some([1, 2]) Some(["ü", ""])\n'
    assert python.value("before.astype({'rate': 'float64'}).equals(table)") == "True"
    assert python.value("summary.to_dict('list')") == "{'name': ['a', 'b'], 'n': [1, 2]}"
    assert "2 rows, 5 columns" in python.rust("table").result["text/plain"]


REFUSED = {
    "np.zeros(2, dtype='uint16')": "dtype uint16 does not pass to Rust; convert it: wrong.astype('int32')",
    "np.array(['a'])": "dtype str32",
    "np.array([None])": "dtype object",
    "np.ma.masked_array([1, 2], mask=[0, 1])": "wrong.filled(",
    "[1, 2.5]": "mixes f64 and i64; convert its elements to one type",
    "[]": "Vec::<f64>::new()",
    "2**63": "beyond the range of i64",
    "(1, 2)": "type tuple does not pass to Rust; convert it: list(wrong)",
    "{'a': 1}": "type dict",
    "None": "type NoneType",
    "np.datetime64(0, 'ns')": "type datetime64 does not pass to Rust; convert it: str(wrong)",
    "[np.timedelta64(1, 'ns')]": "type timedelta64",
    "object()": "type object does not pass to Rust; NumPy arrays",
    "'\\ud800'": "surrogates",
    "pd.Series([1])": "wrong.to_numpy()",
    "pd.DataFrame({'a': [1]}, index=['x'])": "reset_index()",
    "pd.DataFrame({'a': [pd.Timestamp(0)]})": "column 'a' of dtype datetime64",
    "pd.DataFrame({'a': pd.Categorical(['x'])})": "column 'a' of dtype category does not pass to Rust; convert it",
    "pd.DataFrame({'a': ['x', None]})": "column 'a' of dtype",
    "pd.DataFrame({1: [1]})": "column names must",
}


def test_other_values_are_refused_with_their_name_and_what_to_do(python: Python) -> None:
    python.good("import numpy as np, pandas as pd")
    for value, words in REFUSED.items():
        python.good(f"wrong = {value}")
        cell = python.failing('println!("never run");', "-i wrong")
        assert cell.ename == "CannotCross" and cell.evalue.startswith("-i wrong: "), cell.problem
        assert words in cell.evalue, (value, cell.evalue)
        assert cell.stdout == ""
    assert python.failing("//", "-i nowhere").evalue == "-i nowhere: Python has no variable `nowhere`"
    python.good("type = 1")
    assert "-i type: " in python.failing("//", "-i type").evalue


def test_a_variable_that_rust_does_not_have_is_named(python: Python) -> None:
    cell = python.failing("1;", "-o nowhere")
    assert (cell.ename, cell.evalue) == ("CannotCross", "-o nowhere: the Rust session has no variable `nowhere`")
    python.rust("let given = vec![1];")
    assert python.failing("drop(given);", "-o given").evalue.startswith("-o given: `given` was moved away in cell")
    python.rust("let precious = 1;")
    python.failing("std::process::abort();")
    assert python.failing("1;", "-o precious").evalue.startswith("-o precious: `precious` was lost when cell")


def test_rust_values_that_do_not_cross_are_refused(python: Python) -> None:
    python.rust(
        "struct Mine; let mine = Mine; let map = std::collections::BTreeMap::from([(1, 2)]);"
        "let brain = Tensor::zeros([2], (Kind::BFloat16, Device::Cpu));"
    )
    for name, words in {
        "mine": "type Mine does not pass to Python",
        "map": "type BTreeMap<i32, i32> does not pass",
        "brain": "`let brain = brain.to_kind(Kind::Float);`",
    }.items():
        cell = python.failing("1;", f"-o {name}")
        assert cell.ename == "CannotCross" and cell.evalue.startswith(f"-o {name}: ") and words in cell.evalue, cell.problem


def test_values_are_ordinary_variables_and_lines_keep_their_numbers(python: Python) -> None:
    python.good("count = 3")
    cell = python.failing("let fine = 1;\nlet wrong: String = count;", "-i count")
    assert "let wrong: String = count;" in cell.traceback and "line 2" in cell.traceback, cell.traceback
    assert python.rust("count + 1").result["text/plain"] == "4", "it is there in later cells"


def test_a_large_array_leaves_no_file_open(python: Python) -> None:
    python.good("import numpy as np\nlarge = np.arange(2**25, dtype='float32')")
    python.rust("let large = large + 1.0;", "-i large -o large")
    assert python.value("(len(large), float(large[-1]))") == "(33554432, 33554432.0)"
    assert "benchbook" not in python.value("[os.readlink(f'/proc/self/fd/{fd}') for fd in map(int, __import__('os').listdir('/proc/self/fd')) if __import__('os').path.exists(f'/proc/self/fd/{fd}')]".replace("os.readlink", "__import__('os').readlink"))


# --- Notebooks -----------------------------------------------------------------------------------------


def execute(*cells: str, **options: Any) -> NotebookNode:
    """Runs a Python notebook; `execute.last` is what came of it, also when it failed."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    execute.last = notebook
    NotebookClient(notebook, timeout=PATIENCE, startup_timeout=PATIENCE, kernel_name=SPEC, **options).execute()
    nbformat.validate(notebook)
    return notebook


def test_nbclient_keeps_outputs_and_stops_at_an_error() -> None:
    with pytest.raises(CellExecutionError) as caught:
        execute(
            "%load_ext benchbook",
            "%%rust -o n\nlet n = 41; let handle = display(&Bundle::text(\"old\")); println!(\"one\");",
            '%%rust\nhandle.update(&Bundle::text("new"));',
            "n + 1",
            '%%rust\nprintln!("gone"); clear_output(true); println!("stays");',
            "%%rust\nmissing",
            "print('never run')",
        )
    assert caught.value.ename == "CompileError"
    cells = execute.last.cells
    shown = [output for output in cells[1].outputs if "text/plain" in output.get("data", {})]
    assert [output.data["text/plain"] for output in shown] == ["new"], "changed by a later cell"
    assert cells[1].outputs[-1].text == "one\n"
    assert cells[3].outputs[0].data["text/plain"] == "42"
    assert [output.get("text") for output in cells[4].outputs] == ["stays\n"]
    assert [output.ename for output in cells[5].outputs] == ["CompileError"]
    assert cells[6].outputs == []


def test_nbclient_allows_errors_by_rusts_names_for_them() -> None:
    notebook = execute('%load_ext benchbook', '%%rust\n"x".parse::<f64>()?', "1 + 1", allow_error_names=["ParseFloatError"])
    assert notebook.cells[2].outputs[0].data["text/plain"] == "2"


def test_a_python_notebook_in_the_browser(tmp_path: Path) -> None:
    sources = [
        "%load_ext benchbook",
        "rate = 0.5\nnumbers = [1, 2, 3]",
        "%%rust -i rate,numbers -o doubled\n"
        'let progress = display(&Bundle::text("begun").html("<b>begun</b>"));\n'
        "let doubled: Vec<f64> = numbers.iter().map(|n| *n as f64 * 2.0 * rate).collect();\n"
        'progress.update(&Bundle::text("done").html("<b>done</b>"));\n'
        "benchbook::chart::plot(&doubled)?",
        "doubled",
        '%%rust\nlet kept = 7;\nprintln!("running");',
        '%%rust\nlet shown = display(&Bundle::text("at work").html("<i>at work</i>"));\nloop {}',
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    path = tmp_path / "magic.ipynb"
    nbformat.write(notebook, path)
    with opened(path, tmp_path) as page:
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        choose_kernel(page, TITLE)
        lab = Notebook(page, RESULTS / "magic")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.locator(".jp-OutputArea-output i", has_text="at work").wait_for()
        assert page.locator(".jp-OutputArea-output b").inner_text() == "done"
        page.locator(".jp-OutputArea-output img[src^='data:image/svg']").wait_for()
        assert lab.result(3) == "[1.0, 2.0, 3.0]"
        assert ["".join(output["text"]) for output in lab.outputs(4, "stream")] == ["running\n"]
        assert not lab.has_ended(5)
        lab.screenshot("running")
        page.locator("[data-command='notebook:interrupt-kernel']").click()
        lab.wait_for_end(5)
        assert [error["ename"] for error in lab.outputs(5, "error")] == ["KeyboardInterrupt"]
        after = lab.append("%%rust\nkept + 1")
        lab.wait_for_end(after)
        assert lab.result(after) == "8", "the variables are kept"
        lab.screenshot("interrupted")

        def run(code: str) -> int:
            cell = lab.append(code)
            lab.wait_for_end(cell)
            return cell

        assert lab.result(run('%%rust --name second\nlet kept = "of another session"; kept')) == '"of another session"'
        run("import numpy as np\nhalves = np.arange(6, dtype='float16').reshape(2, 3)")
        assert lab.outputs(run("%%rust -i halves -o turned\nlet turned = halves.tr();"), "error") == []
        assert lab.result(run("(turned.dtype.name, turned.tolist())")) == "('float16', [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]])"
        wrong = run('%%rust\nlet wrong: i32 = "text";')
        assert [error["ename"] for error in lab.outputs(wrong, "error")] == ["CompileError"]
        page.locator(".jp-OutputArea-output", has_text="mismatched types").wait_for()
        asks = lab.append('%%rust\ninput("Name? ")?')
        page.locator("input.jp-Stdin-input").fill("Ferris ü")
        page.locator("input.jp-Stdin-input").press("Enter")
        lab.wait_for_end(asks)
        assert lab.result(asks) == '"Ferris ü"'
        run("from benchbook.magic import SESSIONS\nserver = SESSIONS['second'].process.pid")
        killed = run(
            "%%rust --name second -i server\n"
            'std::process::Command::new("kill").args(["-KILL", &server.to_string()]).status()?; loop {}'
        )
        assert [error["ename"] for error in lab.outputs(killed, "error")] == ["KernelDied"]
        assert lab.result(run("%%rust --name second\n40 + 2")) == "42"
        assert lab.result(run("%%rust\nkept + 2")) == "9", "the other session goes on"
        lab.show(killed)
        lab.screenshot("all-cells-have-run")
