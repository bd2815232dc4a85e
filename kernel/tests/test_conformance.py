"""Jupyter's own test suite for kernels."""

from __future__ import annotations

import jupyter_kernel_test
import pytest

from driver import NAME, PATIENCE

# The suite's 15 s are for kernels that compile nothing.
jupyter_kernel_test.TIMEOUT = PATIENCE


@pytest.mark.usefixtures("private_folders")
class TestConformance(jupyter_kernel_test.KernelTests):
    kernel_name = NAME
    language_name = "rust"
    file_extension = ".rs"

    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("to stderr");'
    completion_samples = [
        {"text": '"a".to_ascii_upp', "matches": {"to_ascii_uppercase()"}},
        {"text": "String::with_cap", "matches": {"with_capacity"}},
        {"text": "benchbook::chart::LineCh", "matches": {"LineChart"}},
    ]
    complete_code_samples = [
        "1 + 1",
        "let a = 1;",
        "fn f() -> i32 { 1 }",
        ":vars",
        'println!("a");',
    ]
    incomplete_code_samples = ["fn f() {", "let a =", "f(1,", 'let s = "open', "/* open"]
    invalid_code_samples = ["}", "let = 1;", "f())"]
    code_generate_error = 'panic!("on purpose")'
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": '"text"', "result": '"text"'},
        {"code": "vec![1, 2]", "result": "[1, 2]"},
        {"code": "benchbook::chart::plot(&[1.0, 2.0])?", "mime": "image/svg+xml"},
    ]
    code_display_data = [
        {"code": 'display(&Bundle::text("a").html("<b>a</b>"));', "mime": "text/html"},
        {"code": 'display(&Bundle::text("a").svg("<svg/>"));', "mime": "image/svg+xml"},
        {"code": 'display(&Bundle::text("a").markdown("*a*"));', "mime": "text/markdown"},
    ]
    code_history_pattern = "6 ? 7"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "String::new"
    code_clear_output = "clear_output(false);"

    # The one test of the suite that is left out. A pager is opened by the `payload` of a reply,
    # which the protocol has deprecated, and by IPython's `?name`, which is no Rust; front ends get
    # documentation by inspection.
    test_pager = None

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # The first cell waits for the compiler's start, and may come with a note of the kernel's.
        cls.kc.execute_interactive(
            "let ready = true;", timeout=PATIENCE, output_hook=lambda _: None
        )

    def test_no_test_of_the_suite_is_skipped_but_the_pager(self) -> None:
        """The suite skips a test whose sample is not given."""
        samples = {
            name: getattr(self, name)
            for name, default in vars(jupyter_kernel_test.KernelTests).items()
            if isinstance(default, str | list | tuple) and not name.startswith("_")
        }
        assert len(samples) >= 15, samples
        assert [name for name, value in samples.items() if not value] == ["code_page_something"]


@pytest.mark.usefixtures("private_folders")
class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = NAME
    support_iopub_welcome = True
