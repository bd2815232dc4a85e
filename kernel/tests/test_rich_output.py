"""Results and displays: MIME types, order, updates, and every kind of type."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver import Kernel


def test_a_last_expression_is_the_result(kernel: Kernel) -> None:
    cell = kernel.good("6 * 7")
    assert cell.result == {"text/plain": "42"}
    assert cell.of("execute_result")[0]["execution_count"] == cell.reply["execution_count"]


@pytest.mark.parametrize(
    "code", ["6 * 7;", "let quiet = 1;", "fn quiet() {}", "()", "for _ in 0..2 {}"]
)
def test_statements_items_and_units_have_no_result(kernel: Kernel, code: str) -> None:
    assert kernel.good(code).of("execute_result", "display_data", "stream") == []


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ('"text"', '"text"'),
        ("vec![Some(1), None]", "[Some(1), None]"),
        ("if true { 1 } else { 2 }", "1"),
        ("match 3 { 3 => 'x', _ => 'y' }", "'x'"),
        ("{ let inner = 4; inner + 1 }", "5"),
        ("1 + 1 // why", "2"),
    ],
)
def test_every_form_of_expression_is_shown(kernel: Kernel, expression: str, text: str) -> None:
    assert kernel.value(expression) == text


def test_a_borrowed_value_is_shown_and_stays(kernel: Kernel) -> None:
    kernel.good('let words = vec![String::from("a"), String::from("b")];')
    assert (
        kernel.value("words.iter().map(|word| word.as_str()).collect::<Vec<&str>>()")
        == '["a", "b"]'
    )
    assert kernel.value("&words[1]") == '"b"'
    assert kernel.value("words.len()") == "2"


def test_a_type_without_debug_is_named(kernel: Kernel) -> None:
    kernel.good("struct Opaque { secret: u8 }")
    text = kernel.value("Opaque { secret: 1 }")
    assert "Opaque" in text and "Debug" in text


def test_a_tensor_shows_its_shape_and_values(kernel: Kernel) -> None:
    data = kernel.good("Tensor::from_slice2(&[[1.0f32, 2.0], [3.0, 4.5]])").result
    assert "[2, 2]" in data["text/plain"] and "Float" in data["text/plain"]
    assert "4.5" in data["text/plain"]
    assert "[2, 2]" in data["text/html"]


def test_a_tensor_made_in_one_cell_is_used_in_the_next(kernel: Kernel) -> None:
    kernel.good("let ones = Tensor::ones([3, 4], (Kind::Float, Device::Cpu));")
    assert kernel.value("ones.sum(Kind::Float).double_value(&[])") == "12.0"


def test_a_plot_is_a_picture_and_text(kernel: Kernel) -> None:
    data = kernel.good("benchbook::chart::plot(&[3.0, 1.0, 2.0])?").result
    assert data["image/svg+xml"].startswith("<svg")
    assert data["text/plain"].strip()
    assert "image/png" not in data


def test_a_plot_is_png_too_where_asked(kernel: Kernel) -> None:
    data = kernel.good(
        'benchbook::chart::LineChart::new("Loss").series("training", &[0.7, 0.4, 0.2])?.with_png()'
    ).result
    assert data["image/svg+xml"].startswith("<svg")
    assert data["image/png"].startswith("iVBOR"), "a PNG file in base64"
    assert "Loss" in data["text/plain"]


def test_every_mime_type_passes(kernel: Kernel) -> None:
    data = kernel.good(
        """
        Bundle::text("plain").html("<b>h</b>").markdown("*m*").svg("<svg/>")
            .with("text/latex", "$x$")
        """
    ).result
    assert data == {
        "text/plain": "plain",
        "text/html": "<b>h</b>",
        "text/markdown": "*m*",
        "image/svg+xml": "<svg/>",
        "text/latex": "$x$",
    }


def test_a_type_of_the_user_shows_itself_richly(kernel: Kernel) -> None:
    kernel.good(
        """
        struct Badge(u8);
        impl Rich for Badge {
            fn bundle(&self) -> Bundle {
                Bundle::text(format!("badge {}", self.0)).html("<i>badge</i>")
            }
        }
        """
    )
    assert kernel.good("Badge(3)").result == {"text/plain": "badge 3", "text/html": "<i>badge</i>"}


def test_one_cell_shows_many_things_in_order(kernel: Kernel) -> None:
    cell = kernel.good(
        """
        for i in 0..5 { display(&Bundle::text(format!("{i}")).html(format!("<b>{i}</b>"))); }
        "end"
        """
    )
    assert cell.events == [
        *(("display_data", str(i)) for i in range(5)),
        ("execute_result", '"end"'),
    ]


def test_a_display_is_changed_in_place_also_from_a_later_cell(kernel: Kernel) -> None:
    first = kernel.good(
        """
        let handle = display(&Bundle::text("0%"));
        handle.update(&Bundle::text("50%"));
        """
    )
    second = kernel.good('handle.update(&Bundle::text("100%"));')
    assert first.events == [("display_data", "0%"), ("update_display_data", "50%")]
    assert second.events == [("update_display_data", "100%")]
    outputs = first.of("display_data", "update_display_data") + second.of("update_display_data")
    assert len({output["transient"]["display_id"] for output in outputs}) == 1


def test_a_fast_loop_reaches_the_client_at_a_pace_it_can_draw(kernel: Kernel) -> None:
    cell = kernel.good(
        """
        let handle = display(&Bundle::text("begun"));
        for i in 0..100_000 { handle.update(&Bundle::text(format!("{i}"))); }
        """
    )
    updates = cell.of("update_display_data")
    # One leaves at once, one at the end, and ten in each second between.
    most = 3 + 10 * cell.answer["metadata"]["benchbook"]["run_s"]
    assert 2 <= len(updates) <= most, f"{len(updates)} updates"
    assert updates[-1]["data"]["text/plain"] == "99999", "the last one always arrives"


def test_an_update_that_must_not_be_skipped_is_not(kernel: Kernel) -> None:
    cell = kernel.good(
        """
        let handle = display(&Bundle::text("begun"));
        for i in 0..20 { handle.update_now(&Bundle::text(format!("{i}"))); }
        """
    )
    assert len(cell.of("update_display_data")) == 20


def test_a_waiting_update_arrives_while_the_cell_goes_on(kernel: Kernel, tmp_path: Path) -> None:
    signal = tmp_path / "go on"
    cell = kernel.start(
        f"""
        let handle = display(&Bundle::text("begun"));
        for i in 0..5 {{ handle.update(&Bundle::text(format!("{{i}}"))); }}
        while !std::path::Path::new("{signal}").exists() {{ std::thread::yield_now(); }}
        """
    )
    kernel.wait(lambda: ("update_display_data", "4") in cell.events or cell.idle, "the last update")
    assert not cell.idle
    signal.touch()
    assert cell.finish().status == "ok"


def test_two_displays_have_two_identities(kernel: Kernel) -> None:
    cell = kernel.good('display(&Bundle::text("a")); display(&Bundle::text("b"));')
    identities = [output["transient"]["display_id"] for output in cell.of("display_data")]
    assert len(set(identities)) == 2


@pytest.mark.parametrize("wait", [True, False])
def test_outputs_are_cleared(kernel: Kernel, wait: bool) -> None:
    cell = kernel.good(f'println!("old"); clear_output({str(wait).lower()}); println!("new");')
    assert cell.events == [("stdout", "old\n"), ("clear_output", str(wait)), ("stdout", "new\n")]


# As the crates that know evcxr write it.
EVCXR_DISPLAY = r"""
struct Chip(u8);
impl Chip {
    fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/html\n<b>chip\n{}</b>\nEVCXR_END_CONTENT", self.0);
    }
}
"""


def test_evcxr_display_works_several_times_in_one_cell(kernel: Kernel) -> None:
    kernel.good(EVCXR_DISPLAY)
    cell = kernel.good(
        'Chip(1).evcxr_display(); println!("between"); Chip(2).evcxr_display(); Chip(3)'
    )
    shown = [output["data"] for output in cell.of("display_data", "execute_result")]
    assert [data["text/html"] for data in shown] == [f"<b>chip\n{i}</b>" for i in (1, 2, 3)]
    assert all(data["text/plain"] for data in shown), "a terminal is never empty"
    kinds = [kind for kind, _ in cell.events]
    assert kinds == ["display_data", "stdout", "display_data", "execute_result"]
    assert cell.stdout == "between\n"


def test_evcxr_display_of_a_result_gives_all_its_forms(kernel: Kernel) -> None:
    kernel.good(
        r"""
        struct Both;
        impl Both {
            fn evcxr_display(&self) {
                println!("EVCXR_BEGIN_CONTENT text/html\n<b>both</b>\nEVCXR_END_CONTENT");
                println!("EVCXR_BEGIN_CONTENT text/plain\nboth\nEVCXR_END_CONTENT");
            }
        }
        """
    )
    assert kernel.good("Both").result == {"text/plain": "both", "text/html": "<b>both</b>"}
