"""What cells print, byte for byte, in order and live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driver import Kernel


def rust(text: object) -> str:
    """A Rust string literal."""
    return json.dumps(str(text))


def test_prints_reach_the_stream_of_their_name(kernel: Kernel) -> None:
    cell = kernel.good('println!("to stdout"); eprintln!("to stderr");')
    assert cell.events == [("stdout", "to stdout\n"), ("stderr", "to stderr\n")]


def test_a_line_need_not_end(kernel: Kernel) -> None:
    assert kernel.good('print!("no newline");').events == [("stdout", "no newline")]


def test_text_needs_no_arguments_and_takes_all_kinds(kernel: Kernel) -> None:
    cell = kernel.good(
        'let width = 7; println!(); println!("{{}} {:>width$} {0:.2} {n}", 1.5, n = 2);'
    )
    assert cell.stdout == "\n{}     1.5 1.50 2\n"


def test_carriage_returns_arrive_as_they_are(kernel: Kernel) -> None:
    assert kernel.good(r'print!("10%\r20%\r"); println!("30%");').stdout == "10%\r20%\r30%\n"


def test_bytes_that_are_no_text_are_marked_and_the_rest_is_kept(kernel: Kernel) -> None:
    code = (
        r'{ use std::io::Write; std::io::stdout().write_all(b"a\xff\xfeb \xc3\xbc\n").unwrap(); }'
    )
    assert kernel.good(code).stdout == "a\ufffd\ufffdb ü\n"


def test_a_character_written_in_two_pieces_is_whole(kernel: Kernel) -> None:
    code = r"""
    { use std::io::Write; let mut out = std::io::stderr();
      out.write_all(b"\xe2\x82").unwrap(); out.write_all(b"\xac").unwrap(); }
    """
    assert kernel.good(code).stderr == "€"


@pytest.mark.parametrize(("target", "name"), [("", "stdout"), (">&2", "stderr")])
def test_child_processes_print_into_the_cell(kernel: Kernel, target: str, name: str) -> None:
    command = rust(f"printf 'from a child\\n' {target}")
    cell = kernel.good(
        f'assert!(std::process::Command::new("sh").arg("-c").arg({command}).status().unwrap().success());'
    )
    assert cell.stream(name) == "from a child\n"


def test_prints_and_outputs_keep_the_order_of_the_code(kernel: Kernel) -> None:
    cell = kernel.good(
        """
        println!("1");
        eprintln!("2");
        display(&Bundle::text("3"));
        print!("4");
        eprint!("5");
        display(&Bundle::text("6"));
        println!("7");
        "8"
        """
    )
    assert cell.events == [
        ("stdout", "1\n"),
        ("stderr", "2\n"),
        ("display_data", "3"),
        ("stdout", "4"),
        ("stderr", "5"),
        ("display_data", "6"),
        ("stdout", "7\n"),
        ("execute_result", '"8"'),
    ]


def test_writes_of_other_libraries_keep_their_place_before_an_output(kernel: Kernel) -> None:
    cell = kernel.good(
        """
        { use std::io::Write; write!(std::io::stdout(), "raw, unfinished").unwrap(); }
        display(&Bundle::text("shown"));
        println!("after");
        """
    )
    assert cell.events == [
        ("stdout", "raw, unfinished"),
        ("display_data", "shown"),
        ("stdout", "after\n"),
    ]


@pytest.mark.parametrize(
    "output",
    [
        'print!("waiting");',
        'println!("waiting");',
        '{ use std::io::Write; write!(std::io::stdout(), "waiting").unwrap(); }',
    ],
    ids=["part of a line", "a line", "std::io"],
)
def test_a_print_arrives_before_the_cell_ends(kernel: Kernel, tmp_path: Path, output: str) -> None:
    signal = tmp_path / "go on"
    cell = kernel.start(
        f"""
        {output}
        while !std::path::Path::new({rust(signal)}).exists() {{ std::thread::yield_now(); }}
        """
    )
    cell.wait_for_print("waiting")
    assert not cell.idle
    signal.touch()
    assert cell.finish().status == "ok"


def test_much_output_is_complete(kernel: Kernel) -> None:
    cell = kernel.good('for i in 0..20_000 { println!("line {i}"); }')
    assert cell.stdout == "".join(f"line {i}\n" for i in range(20_000))


def test_a_print_of_debug_text_is_no_error(kernel: Kernel) -> None:
    cell = kernel.good('let odd = "x"; eprintln!("{:?}", odd); println!("after");')
    assert cell.events == [("stderr", '"x"\n'), ("stdout", "after\n")]


def test_another_thread_prints_into_the_cell(kernel: Kernel) -> None:
    cell = kernel.good('std::thread::spawn(|| println!("from a thread")).join().unwrap();')
    assert cell.stdout == "from a thread\n"


def test_a_silent_cell_says_nothing(kernel: Kernel) -> None:
    cell = kernel.good('println!("quiet"); 1', silent=True, store_history=False)
    assert cell.of("execute_input", "execute_result") == []
