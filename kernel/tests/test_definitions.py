"""What happens to items and statics from cell to cell: the latest definition holds, and values are kept."""

from __future__ import annotations

import pytest

from driver import Kernel

# --- The latest definition wins, and nothing else disappears ------------------------------------------------


def test_an_implementation_of_a_trait_can_be_run_again(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug)]\nstruct Cat { lives: u8 }\ntrait Speak { fn speak(&self) -> String; }")
    kernel.good('impl Speak for Cat { fn speak(&self) -> String { format!("meow {}", self.lives) } }')
    assert kernel.value("Cat { lives: 9 }.speak()") == '"meow 9"'
    kernel.good('impl Speak for Cat { fn speak(&self) -> String { format!("purr {}", self.lives) } }')
    assert kernel.value("Cat { lives: 9 }.speak()") == '"purr 9"'
    assert kernel.value("1 + 1") == "2"


def test_a_generic_implementation_replaces_one_with_other_names_and_bounds(kernel: Kernel) -> None:
    kernel.good("trait Count { fn count_all(&self) -> usize; }")
    kernel.good("impl<T> Count for Vec<T> { fn count_all(&self) -> usize { self.len() } }")
    kernel.good("impl<E: Clone> Count for Vec<E> where E: Send { fn count_all(&self) -> usize { self.len() * 10 } }")
    assert kernel.value("vec![1, 2].count_all()") == "20"


def test_implementations_for_other_types_and_arguments_stay(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug)] struct Metres(f64);")
    kernel.good("impl From<f64> for Metres { fn from(value: f64) -> Self { Metres(value) } }")
    kernel.good("impl From<u8> for Metres { fn from(value: u8) -> Self { Metres(f64::from(value)) } }")
    kernel.good("impl From<f64> for Metres { fn from(value: f64) -> Self { Metres(-value) } }")
    assert kernel.value("(Metres::from(2.5), Metres::from(2_u8))") == "(Metres(-2.5), Metres(2.0))"


def test_methods_are_replaced_one_by_one(kernel: Kernel) -> None:
    kernel.good("struct Dog { age: u32 }\nimpl Dog {\n    fn age(&self) -> u32 { self.age }\n    fn twice(&self) -> u32 { self.age() * 2 }\n}")
    kernel.good("impl Dog {\n    /// In dog years.\n    fn age(&self) -> u32 { self.age * 7 }\n    const LEGS: u32 = 4;\n}")
    assert kernel.value("let dog = Dog { age: 3 };\n(dog.age(), dog.twice(), Dog::LEGS)") == "(21, 42, 4)"
    kernel.good("impl Dog { fn twice(&self) -> u32 { 0 } }")
    assert kernel.value("Dog { age: 1 }.twice()") == "0"


def test_a_function_defined_anew_takes_no_implementation_along(kernel: Kernel) -> None:
    kernel.good("struct Bird;\nfn height() -> u32 { 1 }\nimpl Bird { fn fly(&self) -> u32 { height() } }\nimpl Default for Bird { fn default() -> Self { Bird } }")
    kernel.good("fn height() -> u32 { 30 }")
    assert kernel.value("Bird::default().fly()") == "30"
    kernel.good("struct Bird;")
    assert kernel.value("Bird::default().fly()") == "30"


@pytest.mark.parametrize(
    ("first", "second", "expression", "value"),
    [
        ("enum Size { Small }", "#[derive(Debug)] enum Size { Small, Large }", "Size::Large", "Large"),
        ("trait Name { fn name(&self) -> u8; }", "trait Name { fn name(&self) -> u8 { 7 } } impl Name for u16 {}", "1_u16.name()", "7"),
        ("macro_rules! number { () => { 1 } }", "macro_rules! number { () => { 2 } }", "number!()", "2"),
        ("mod inner { pub fn f() -> u8 { 1 } }", "mod inner { pub fn f() -> u8 { 2 } }", "inner::f()", "2"),
        ("const LIMIT: u8 = 1;", "const LIMIT: u16 = 300;", "LIMIT", "300"),
        ("type Number = u8;", "type Number = f64;", "1 as Number", "1.0"),
        ("const _: () = assert!(1 < 2);", "const _: () = assert!(2 < 3);", "1", "1"),
    ],
)
def test_every_kind_of_item_can_be_defined_anew(kernel: Kernel, first: str, second: str, expression: str, value: str) -> None:
    kernel.good(first)
    kernel.good(second)
    assert kernel.value(expression) == value


def test_a_macro_can_be_used_by_items_of_any_cell(kernel: Kernel) -> None:
    kernel.good("macro_rules! tripled { ($number:expr) => { $number * 3 } }")
    for number in range(6):
        kernel.good(f"fn triple_{number}() -> i32 {{ tripled!({number}) }}")
    kernel.good("mod deep { pub fn nine() -> i32 { super::tripled!(3) } }")
    assert kernel.value("(triple_5(), deep::nine(), tripled!(2))") == "(15, 9, 6)"
    kernel.good("macro_rules! tripled { ($number:expr) => { $number * 30 } }")
    assert kernel.value("triple_5()") == "150"


def test_a_variable_of_a_type_defined_anew_is_named_and_never_read(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug)] struct Small { a: u8 }\nlet small = Small { a: 1 }; let number = 5;")
    kernel.good("let list = vec![Small { a: 2 }];")
    cell = kernel.good("#[derive(Debug)] struct Small { a: [u64; 100] }")
    assert "`small`" in cell.stderr and "`list`" in cell.stderr and "number" not in cell.stderr, cell.problem
    lost = kernel.run("small.a[50]")
    assert lost.ename == "CompileError" and "redefined its type" in lost.traceback, lost.problem
    assert kernel.value("number") == "5"
    kernel.good("let small = Small { a: [3; 100] };")
    assert kernel.value("small.a[99]") == "3"


def test_a_cell_with_a_type_and_its_variable_can_be_edited(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug, Clone)]\nstruct Settings { rate: f64 }\nlet settings = Settings { rate: 0.5 };")
    kernel.good("#[derive(Debug, Clone)]\nstruct Settings { rate: f64, name: String }\nlet settings = Settings { rate: 0.1, name: \"adam\".into() };")
    assert kernel.value("settings") == 'Settings { rate: 0.1, name: "adam" }'


def test_a_variable_outlives_what_changes_no_layout(kernel: Kernel) -> None:
    kernel.good("struct Kept { a: u8 }\nimpl Kept { fn show(&self) -> u8 { self.a } }\nlet kept = Kept { a: 4 };")
    kernel.good("#[derive(Debug)]\n/// With words.\npub struct Kept { a: u8 }")
    kernel.good("impl Kept { fn show(&self) -> u8 { self.a + 1 } }")
    assert kernel.value("(kept.show(), &kept)") == "(5, Kept { a: 4 })"


def test_what_no_longer_fits_a_new_type_is_set_aside_until_it_is_run_again(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug)] struct Horse { legs: u8 }")
    kernel.good("impl Horse { fn legs(&self) -> u8 { self.legs } fn name(&self) -> u8 { 1 } }")
    kernel.good("fn shoes(horse: &Horse) -> u8 { horse.legs * 2 }")
    cell = kernel.good("#[derive(Debug)] struct Horse { name: String }")
    assert "`impl Horse { fn legs }`" in cell.stderr and "`shoes`" in cell.stderr, cell.problem
    assert kernel.value('Horse { name: "a".into() }.name()') == "1", "what fits stays"
    cell = kernel.run('shoes(&Horse { name: "a".into() })')
    assert "was disabled in cell" in cell.traceback and "adapt its cell and run it again" in cell.traceback, cell.problem
    kernel.good("fn shoes(horse: &Horse) -> usize { horse.name.len() }")
    kernel.good("impl Horse { fn legs(&self) -> usize { 4 } }")
    assert kernel.value('{ let horse = Horse { name: "abc".into() }; (shoes(&horse), horse.legs()) }') == "(3, 4)"


def test_a_function_with_new_parameters_sets_its_callers_aside(kernel: Kernel) -> None:
    kernel.good("fn area(a: f64) -> f64 { a * a }")
    kernel.good("fn double_area() -> f64 { area(2.0) * 2.0 }\nfn quadruple_area() -> f64 { double_area() * 2.0 }")
    cell = kernel.good("fn area(a: f64, b: f64) -> f64 { a * b }")
    assert "`double_area` no longer compiles with the new definitions" in cell.stderr and "`quadruple_area`" in cell.stderr, cell.problem
    assert kernel.value("area(2.0, 3.0)") == "6.0"


def test_an_error_of_the_cell_itself_sets_nothing_aside(kernel: Kernel) -> None:
    kernel.good("fn whole() -> i32 { 1 }\nfn part() -> i32 { whole() }")
    cell = kernel.run('fn whole() -> i32 { "text" }')
    assert cell.status == "error" and not cell.stderr, cell.problem
    assert kernel.value("part()") == "1"


def test_a_println_of_the_users_own_hides_no_panic(kernel: Kernel) -> None:
    kernel.good('macro_rules! println { ($($part:tt)*) => { benchbook::print!("mine\\n") } }')
    assert kernel.good('println!("a");').stdout == "mine\n"
    assert kernel.run('let never = 1; panic!("after it");').ename == "Panic"
    assert kernel.run("never").ename == "CompileError"
    kernel.good(":clear")


# --- Statics keep their values ------------------------------------------------------------------------------


def test_a_static_keeps_its_value_from_cell_to_cell(kernel: Kernel) -> None:
    kernel.good(
        "use std::sync::atomic::{AtomicU32, Ordering};\n"
        "static SEEN: AtomicU32 = AtomicU32::new(0);\n"
        "fn note() -> u32 { SEEN.fetch_add(1, Ordering::SeqCst) + 1 }"
    )
    assert [kernel.value("note()") for _ in range(2)] == ["1", "2"]
    assert kernel.value("SEEN.load(Ordering::SeqCst)") == "2"
    assert kernel.value("{ SEEN.store(10, Ordering::SeqCst); note() }") == "11"


@pytest.mark.parametrize(
    ("items", "expression", "values"),
    [
        ("static mut TOTAL: u64 = 5;", "unsafe { TOTAL += 1; TOTAL }", ["6", "7", "8"]),
        (
            "static WORDS: std::sync::Mutex<Vec<&str>> = std::sync::Mutex::new(Vec::new());",
            '{ let mut words = WORDS.lock().unwrap(); words.push("a"); words.len() }',
            ["1", "2", "3"],
        ),
        (
            "static MADE: std::sync::LazyLock<std::sync::Mutex<u32>> = std::sync::LazyLock::new(|| {\n    std::sync::Mutex::new(40)\n});",
            "{ *MADE.lock().unwrap() += 1; *MADE.lock().unwrap() }",
            ["41", "42", "43"],
        ),
        (
            "static ONCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();\nfn once(text: &str) -> &'static str { ONCE.get_or_init(|| text.to_owned()) }",
            'once("first")',
            ['"first"', '"first"'],
        ),
        (
            "fn ticket() -> u32 {\n    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);\n    NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst)\n}",
            "ticket()",
            ["1", "2", "3"],
        ),
        (
            "mod counters { pub static HITS: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0); }",
            "counters::HITS.fetch_add(2, std::sync::atomic::Ordering::SeqCst)",
            ["0", "2", "4"],
        ),
        (
            "struct Gauge;\nimpl Gauge { fn read() -> i32 { static mut LEVEL: i32 = 0; unsafe { LEVEL -= 1; LEVEL } } }",
            "Gauge::read()",
            ["-1", "-2"],
        ),
    ],
)
def test_statics_of_every_kind_keep_their_values(kernel: Kernel, items: str, expression: str, values: list[str]) -> None:
    kernel.good(items)
    assert [kernel.value(expression) for _ in values] == values


def test_a_static_outlives_a_failing_cell(kernel: Kernel) -> None:
    kernel.good("static FAILED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);")
    raised = "FAILED.fetch_add(1, std::sync::atomic::Ordering::SeqCst)"
    assert kernel.run(f'{raised}; panic!("after it");').status == "error"
    assert kernel.run(f"{raised}; nonsense();").status == "error"
    assert kernel.value(raised) == "1"


def test_a_changed_static_begins_anew_and_says_so(kernel: Kernel) -> None:
    one = "use std::sync::Mutex;\nstatic LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());"
    kernel.good(one)
    push = "{ LOG.lock().unwrap().push(1); LOG.lock().unwrap().len() }"
    assert [kernel.value(push) for _ in range(2)] == ["1", "2"]
    kernel.good(one)
    assert kernel.value(push) == "3", "the same definition"
    kernel.good(one.replace("u8", "u64"))
    cell = kernel.good(push)
    assert cell.result["text/plain"] == "1" and "the static `LOG` is reset" in cell.stderr, cell.problem
    again = kernel.good(push)
    assert again.result["text/plain"] == "2" and not again.stderr, again.problem
    kernel.good(one)
    assert kernel.value(push) == "1", "an old definition that comes back"


def test_a_static_whose_type_was_defined_anew_begins_anew(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug)] struct Entry { a: u8 }\nstatic ENTRIES: std::sync::Mutex<Vec<Entry>> = std::sync::Mutex::new(Vec::new());")
    assert kernel.value("{ ENTRIES.lock().unwrap().push(Entry { a: 1 }); ENTRIES.lock().unwrap().len() }") == "1"
    kernel.good("#[derive(Debug)] struct Entry { a: [u64; 64] }")
    cell = kernel.good("ENTRIES.lock().unwrap().len()")
    assert cell.result["text/plain"] == "0" and "`ENTRIES` is reset" in cell.stderr, cell.problem


def test_statics_begin_anew_with_a_new_process(kernel: Kernel) -> None:
    kernel.good("static RUNS: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);")
    run = "RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst)"
    assert [kernel.value(run) for _ in range(2)] == ["0", "1"]
    assert kernel.run("std::process::abort();").ename == "WorkerDied"
    assert [kernel.value(run) for _ in range(2)] == ["0", "1"]


def test_constants_can_be_computed_from_a_static_that_nothing_changes(kernel: Kernel) -> None:
    kernel.good("static SIZES: [usize; 2] = [3, 4];\nstatic SUM: usize = SIZES[0] + SIZES[1];")
    kernel.good("struct Point { x: i32 }\nstatic ORIGIN: Point = Point { x: 7 };\nconst ORIGIN_X: i32 = ORIGIN.x;")
    assert kernel.value("(SUM, ORIGIN_X, ORIGIN.x)") == "(7, 7, 7)"


def test_an_exported_function_defined_anew_is_the_new_one(kernel: Kernel) -> None:
    for number in (1, 2):
        kernel.good(f'#[unsafe(no_mangle)] pub extern "C" fn benchbook_test_number() -> i32 {{ {number} }}')
        assert kernel.value("benchbook_test_number()") == str(number)


# --- Macros that make items ---------------------------------------------------------------------------------


def test_a_macro_that_makes_a_struct_makes_it_for_later_cells(kernel: Kernel) -> None:
    kernel.good("macro_rules! point {\n    ($name:ident) => { #[derive(Debug, Clone, Copy)] struct $name { x: f64, y: f64 } };\n}")
    kernel.good("point!(Pixel);")
    assert kernel.value("Pixel { x: 1.0, y: 2.0 }") == "Pixel { x: 1.0, y: 2.0 }"
    kernel.good("let pixel = Pixel { x: 0.5, y: 0.0 };")
    assert kernel.value("pixel.x") == "0.5"


def test_macros_make_functions_implementations_and_statics(kernel: Kernel) -> None:
    kernel.good(
        "trait Legs { fn legs(&self) -> u8; }\nstruct Ant; struct Crab;\n"
        "macro_rules! legs { ($($kind:ty => $number:expr),*) => { $(impl Legs for $kind { fn legs(&self) -> u8 { $number } })* } }\n"
        "legs! { Ant => 6, Crab => 10 }"
    )
    assert kernel.value("(Ant.legs(), Crab.legs())") == "(6, 10)"
    kernel.good("legs!(Ant => 5);")
    assert kernel.value("(Ant.legs(), Crab.legs())") == "(5, 10)"
    kernel.good(
        "macro_rules! counter { ($name:ident, $function:ident) => {\n"
        "    static $name: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);\n"
        "    fn $function() -> u8 { $name.fetch_add(1, std::sync::atomic::Ordering::SeqCst) }\n} }"
    )
    kernel.good("counter!(TICKS, tick)")
    assert [kernel.value("tick()") for _ in range(3)] == ["0", "1", "2"]


def test_a_macro_that_has_a_value_stays_an_expression(kernel: Kernel) -> None:
    kernel.good("macro_rules! squared { ($number:expr) => {{ fn square(a: i32) -> i32 { a * a } square($number) }} }")
    assert kernel.value("squared!(7)") == "49"
    kernel.good("let nine = squared!(3);")
    assert kernel.value("nine") == "9"


def test_thread_locals_keep_their_values(kernel: Kernel) -> None:
    kernel.good("thread_local! { static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) }; }")
    kernel.good(
        "thread_local! { static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) }; }\n"
        "fn deeper() -> u32 { DEPTH.with(|depth| { depth.set(depth.get() + 1); depth.get() }) }"
    )
    assert [kernel.value("deeper()") for _ in range(2)] == ["1", "2"]
    assert kernel.value("std::thread::spawn(deeper).join().unwrap()") == "1", "one for each thread"
    assert kernel.value("DEPTH.get()") == "2"


def test_thread_locals_stand_in_functions_and_beside_each_other(kernel: Kernel) -> None:
    kernel.good(
        "use std::cell::{Cell, RefCell};\n"
        "thread_local! {\n    static NAMES: RefCell<Vec<String>> = RefCell::new(Vec::new());\n"
        "    pub static COUNT: Cell<usize> = Cell::new(10)\n}\n"
        "fn named(name: &str) -> usize { NAMES.with_borrow_mut(|names| names.push(name.into())); COUNT.set(COUNT.get() + 1); NAMES.with_borrow(|names| names.len()) + COUNT.get() }\n"
        "fn local() -> u8 { thread_local!(static HERE: Cell<u8> = Cell::new(0)); HERE.set(HERE.get() + 1); HERE.get() }"
    )
    assert [kernel.value('named("a")') for _ in range(2)] == ["12", "14"]
    assert [kernel.value("local()") for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize(
    ("code", "instead"),
    [
        ("lazy_static! {\n    static ref LIMIT: u32 = 3;\n}", "static NAME: std::sync::LazyLock<Type>"),
        ("lazy_static::lazy_static! { pub static ref A: String = String::new(); }", "std::sync::LazyLock::new"),
        ("bitflags! {\n    pub struct Flags: u32 { const A = 1; }\n}", "mod made { use super::*; bitflags! {"),
    ],
)
def test_a_crate_macro_that_makes_items_is_refused_with_what_to_write(kernel: Kernel, code: str, instead: str) -> None:
    cell = kernel.run(code)
    assert cell.status == "error" and instead in cell.evalue, cell.problem


# --- fn main, patterns, constants, names --------------------------------------------------------------------


def test_main_runs(kernel: Kernel) -> None:
    cell = kernel.good(
        "use std::collections::HashMap;\n\nfn main() {\n    let mut counts: HashMap<&str, u32> = HashMap::new();\n"
        '    for word in "a b a".split_whitespace() {\n        *counts.entry(word).or_insert(0) += 1;\n    }\n'
        '    println!("a: {}", counts["a"]);\n}'
    )
    assert cell.stdout == "a: 2\n"
    cell = kernel.good('fn main() -> Result<(), Box<dyn std::error::Error>> {\n    println!("{}", "12".parse::<i32>()?);\n    Ok(())\n}')
    assert cell.stdout == "12\n"
    assert kernel.good('fn main() { println!("once"); }\nmain();').stdout == "once\n"


def test_an_error_of_main_is_the_error_of_the_cell(kernel: Kernel) -> None:
    cell = kernel.run('fn main() -> Result<(), Box<dyn std::error::Error>> { "x".parse::<i32>()?; Ok(()) }')
    assert cell.status == "error" and "invalid digit" in cell.evalue, cell.problem
    cell = kernel.run("#[derive(Debug)] struct Mine(u8);\nfn main() -> Result<(), Mine> { Err(Mine(3)) }")
    assert cell.status == "error" and "Mine(3)" in cell.evalue, cell.problem
    cell = kernel.run('fn main() { panic!("in main"); }')
    assert cell.status == "error" and "in main" in cell.evalue, cell.problem


def test_none_in_a_pattern_is_no_variable(kernel: Kernel) -> None:
    cell = kernel.good('let found: Option<i32> = None;\nlet None = found else { panic!("something was found") };\nprintln!("nothing");')
    assert cell.stdout == "nothing\n"
    kernel.good('fn lookup(key: &str) -> Option<i32> { if key == "a" { Some(1) } else { None } }')
    assert kernel.value('lookup("b").is_none()') == "true"
    assert kernel.value("let empty: Option<String> = None;\nempty.is_none()") == "true"
    assert "None" not in [line.split(":")[0] for line in kernel.good(":vars").result["text/plain"].splitlines()]


def test_constants_and_variants_in_a_pattern_are_no_variables(kernel: Kernel) -> None:
    kernel.good('let (None, rest) = (None::<u8>, 4) else { panic!("some") };')
    assert kernel.value("rest") == "4"
    kernel.good("#[derive(Clone, Copy, PartialEq, Debug)] enum Light { Red, Green }\nuse Light::*;\nconst FULL: u8 = 9;")
    kernel.good('let Red = Light::Red else { panic!("green") };\nlet FULL = 9_u8 else { panic!("less") };')
    assert kernel.value("(Green, FULL)") == "(Green, 9)"
    refused = kernel.run('let Green = Light::Red else { panic!("red") };')
    assert refused.status == "error" and "red" in refused.evalue, refused.problem


def test_names_in_capitals_are_variables(kernel: Kernel) -> None:
    kernel.good("let (X, W) = (2.0, 3.0);")
    assert kernel.value("X * W") == "6.0"


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("let square = [0u8; { let mut n = 0; while n < 4 { n += 1; } n }];\nsquare.len()", "4"),
        ("const fn total(n: u32) -> u32 { let mut sum = 0; let mut i = 0; while i <= n { sum += i; i += 1; } sum }\nconst TEN: u32 = total(4);\nTEN", "10"),
        ("static TABLE: [u8; 3] = { let mut t = [0; 3]; let mut i = 0; while i < 3 { t[i] = i as u8; i += 1; } t };\nTABLE[2]", "2"),
        ("fn long<const N: usize>() -> usize { N }\nlong::<{ let mut n = 1; loop { n *= 2; if n > 9 { break n; } } }>()", "16"),
        ("enum Level { High = { let mut n = 0; while n < 5 { n += 1; } n } }\nLevel::High as i32", "5"),
        ("struct Grid { cells: [u8; { let mut n = 0; while n < 3 { n += 1; } n }] }\nGrid { cells: [1; 3] }.cells.len()", "3"),
        ("const { let mut n = 0; while n < 6 { n += 1; } n }", "6"),
    ],
)
def test_loops_in_constants_compile(kernel: Kernel, code: str, value: str) -> None:
    assert kernel.value(code) == value


def test_the_users_own_names_win_over_those_of_the_library(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug)] struct Table { legs: u8 }")
    assert kernel.value("Table { legs: 4 }") == "Table { legs: 4 }"
    kernel.good("mod shapes { #[derive(Debug)] pub struct Model(pub u8); pub fn plot() -> u8 { 3 } }\nuse shapes::*;")
    assert kernel.value("Model(plot())") == "Model(3)"
    kernel.good("let model = Model(1);")
    assert kernel.value("model.0") == "1"
    kernel.good("#[derive(Debug)] enum Weather { Split, Cache }\nuse Weather::*;")
    assert kernel.value("[Split, Cache]") == "[Split, Cache]"
