"""What a cell shows while its build takes long, of which nothing is left afterwards."""

from __future__ import annotations

from pathlib import Path

from driver import Kernel
from test_interrupt import ENDLESS_BUILD, interrupted


def shown(cell) -> list[str]:
    """What was shown for a while; a terminal, which could not take it back, is shown nothing."""
    contents = [message["content"]["data"] for message in cell.transient if "data" in message["content"]]
    assert all(set(data) == {"text/html"} for data in contents), contents
    return [data["text/html"] for data in contents]


def test_a_long_build_says_what_is_compiled_and_clears_it(kernel: Kernel) -> None:
    cell = kernel.start(ENDLESS_BUILD)
    kernel.wait(
        lambda: any("Compiling the cell" in text for text in shown(cell)) or cell.idle,
        "the build to be shown",
    )
    assert not cell.idle, cell.problem
    kernel.interrupt()
    interrupted(cell)
    kinds = [message["msg_type"] for message in cell.transient]
    assert kinds[0] == "display_data" and kinds[-1] == "clear_output"
    assert set(kinds[1:-1]) <= {"update_display_data"}, "one place, changed as the build goes on"
    assert [message["msg_type"] for message in cell.messages] == ["execute_input", "error"]


# Its build script ends when the file is there, so that the build is as long as the test wants.
SCRIPT = """
fn main() {
    while !std::path::Path::new(%s).exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
"""


def test_a_crate_is_named_while_it_is_compiled(kernel: Kernel, tmp_path: Path) -> None:
    crate = tmp_path / "slowly"
    (crate / "src").mkdir(parents=True)
    (crate / "Cargo.toml").write_text(
        '[package]\nname = "slowly"\nversion = "0.3.1"\nedition = "2021"\n'
    )
    (crate / "src/lib.rs").write_text("pub fn answer() -> i32 { 42 }\n")
    signal = tmp_path / "go on"
    (crate / "build.rs").write_text(SCRIPT % f'"{signal}"')
    cell = kernel.start(f':dep slowly = {{ path = "{crate}" }}\nslowly::answer()')
    kernel.wait(
        lambda: any("Compiling slowly v0.3.1" in text for text in shown(cell)) or cell.idle,
        "the crate to be named",
    )
    signal.touch()
    cell.finish()
    assert cell.status == "ok", cell.problem
    assert any("Compiling slowly v0.3.1" in text for text in shown(cell)), shown(cell)
    assert cell.result["text/plain"] == "42"
    kernel.good(":clear")
