"""Completion and inspection while a cell runs or is compiled, when rust-analyzer cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from driver import Kernel
from test_interrupt import ENDLESS_BUILD, compilers, interrupted, wait_until


@pytest.fixture(scope="module")
def busy(kernel: Kernel) -> Iterator[Kernel]:
    """The kernel, while a cell runs that does not end by itself."""
    kernel.good(
        """
        /// Counts.
        struct Counter { total: u64 }
        impl Counter { fn bump(&mut self, by: u64) -> &Counter { self.total += by; self } }
        fn make_counter() -> Counter { Counter { total: 0 } }
        """
    )
    kernel.good("let images = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));")
    kernel.good("let mut counter = make_counter();")
    cell = kernel.start('let running_now = 1; println!("running"); loop {}')
    cell.wait_for_print("running")
    yield kernel
    kernel.interrupt()
    interrupted(cell)


def complete(kernel: Kernel, code: str) -> list[str]:
    reply = kernel.ask(kernel.client.complete(code))
    assert reply["status"] == "ok"
    assert reply["cursor_end"] == len(code)
    return reply["matches"]


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("let a = ima", "images"),
        ("let a = run", "running_now"),
        ("let mine = 1;\nmin", "mine"),
        ("Ten", "Tensor"),
        ("make_c", "make_counter()"),
        ("Coun", "Counter"),
        (":sho", ":show_deps"),
        ("prin", "println!"),
        ("Tensor::ra", "rand"),
        ("Kind::Flo", "Float"),
        ("Model::lo", "load"),
        ("benchbook::ch", "chart"),
        ("Vec::with_c", "with_capacity"),
        ("images.shal", "shallow_clone()"),
        ("images.relu().sof", "softmax"),
        ("counter.bu", "bump"),
        ("counter.to", "total"),
        ("make_counter().bump(1).to", "total"),
        ('Model::load("a")?.hist', "history()"),
        ('let text = String::new(); text.to_upp', "to_uppercase()"),
        ("Fit { epochs: ima", "images"),
        ("Fit { ep", "epochs"),
        ("model.fit(&ima", "images"),
        ("let x: i32 = cou", "counter"),
        ("vec![Kind::Flo", "Float"),
        ("std::collections::HashM", "HashMap"),
        ("tch::nn::Lin", "Linear"),
        ('println!("{ima', "images"),
        ("vec![counter.bu", "bump"),
        ('for v in vec![1] { let m = Model::load("a")?; m.sa', "save"),
    ],
)
def test_names_are_completed(busy: Kernel, code: str, match: str) -> None:
    found = complete(busy, code)
    assert match in found, found
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "code",
    [
        "images.no_such_method",
        "unknown_thing.a",
        "let x = zzzz",
        "1.",
        "// ima",
        "1; // images.re",
        'let s = "ima',
        ":vars ima",
        "let n: u8 = 1; n.",
    ],
)
def test_nothing_is_made_up(busy: Kernel, code: str) -> None:
    assert complete(busy, code) == []


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("images", "let images: Tensor"),
        ("counter", "Counts."),
        ("Tensor::rand", "fn rand(size: impl IntList, options: (Kind, Device)) -> Tensor"),
        ("images.relu", "fn relu(&self) -> Tensor"),
        ("String::new", "Creates a new empty"),
        ("Model", "struct Model"),
        ("Fit { epochs", "epochs: usize"),
    ],
)
def test_names_are_explained(busy: Kernel, code: str, text: str) -> None:
    reply = busy.ask(busy.client.inspect(code))
    assert reply["found"], code
    assert text in reply["data"]["text/plain"]
    assert reply["data"]["text/html"]


def test_nothing_known_is_said_so(busy: Kernel) -> None:
    reply = busy.ask(busy.client.inspect("no_such_name"))
    assert (reply["status"], reply["found"]) == ("ok", False)


def test_names_are_completed_while_a_cell_is_compiled(kernels) -> None:
    kernel = kernels()
    kernel.good("let during_build = 1;")
    cell = kernel.start(ENDLESS_BUILD)
    wait_until(lambda: bool(compilers(kernel)) or cell.answer is not None, "the compiler to start")
    assert "during_build" in complete(kernel, "duri")
    assert "rand" in complete(kernel, "Tensor::ra")
    kernel.interrupt()
    interrupted(cell)


def test_names_are_completed_before_the_first_cell_can_run(kernels) -> None:
    kernel = kernels()
    assert "Tensor" in complete(kernel, "Tens")
    assert kernel.value("1 + 1") == "2"


def test_the_commands_are_those_of_evcxr(kernels) -> None:
    kernel = kernels()
    listed = {line.split()[0] for line in kernel.good(":help").result["text/plain"].splitlines()}
    refused = {":allow_static_linking", ":cache", ":codegen_backend", ":linker", ":quit"}
    refused |= {":restart", ":sccache", ":time_passes", ":toolchain"}
    cell = kernel.start('println!("running"); loop {}').wait_for_print("running")
    offered = set(complete(kernel, ":"))
    kernel.interrupt()
    interrupted(cell)
    assert offered == listed - refused
