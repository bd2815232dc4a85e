"""The crates of `:dep` have one state for all cells: loggers, pools, caches, runtimes."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver import Kernel

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a crate, so that no network is needed; a second call edits it."""

    def make(name: str, source: str, dependencies: str = "", build: str = "") -> Path:
        folder = tmp_path / name
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "Cargo.toml").write_text(
            f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\n{dependencies}\n'
        )
        (folder / "src/lib.rs").write_text(source)
        if build:
            (folder / "build.rs").write_text(build)
        return folder

    return make


def dep(folder: Path) -> str:
    return f':dep {folder.name} = {{ path = "{folder}" }}'


METER = """
use std::sync::atomic::{AtomicU32, Ordering};
static LEVEL: AtomicU32 = AtomicU32::new(0);
pub fn set_level(level: u32) { LEVEL.store(level, Ordering::SeqCst); }
#[inline] pub fn raise() { LEVEL.fetch_add(1, Ordering::SeqCst); }
pub fn add<T: Into<u32>>(more: T) { LEVEL.fetch_add(more.into(), Ordering::SeqCst); }
pub fn level() -> u32 { LEVEL.load(Ordering::SeqCst) }
"""


def test_what_one_cell_sets_in_a_crate_another_reads(kernels: Any, make: Make) -> None:
    """evcxr#331. Also by functions that are compiled into each cell: inline and generic ones."""
    kernel = kernels()
    kernel.good(dep(make("meter", METER)))
    assert kernel.value("meter::set_level(3);\nmeter::level()") == "3"
    assert kernel.value("meter::level()") == "3"
    assert kernel.value("let reader = std::thread::spawn(meter::level);\nreader.join().unwrap()") == "3"
    kernel.good("meter::raise();")
    kernel.good("meter::add(2_u16);")
    assert kernel.value("meter::level()") == "6"
    assert kernel.run('meter::raise();\npanic!("after it")').ename == "Panic"
    assert kernel.value("meter::level()") == "7", "a cell that fails has done what it did"


STATE = """
use std::cell::Cell;
use std::sync::{LazyLock, Mutex, OnceLock};
pub static NAME: OnceLock<String> = OnceLock::new();
pub static SEEN: LazyLock<Mutex<Vec<i32>>> = LazyLock::new(Default::default);
thread_local! { pub static DEPTH: Cell<u32> = const { Cell::new(0) }; }
pub fn next() -> u32 {
    static mut COUNT: u32 = 0;
    // SAFETY: called by one thread.
    unsafe { COUNT += 1; COUNT }
}
"""


def test_statics_of_every_kind_last(kernels: Any, make: Make) -> None:
    kernel = kernels()
    kernel.good(dep(make("kinds", STATE)))
    kernel.good('kinds::NAME.set("first".into())?;\nkinds::SEEN.lock()?.push(4);\nkinds::DEPTH.set(2);')
    assert kernel.value("kinds::next()") == "1"
    kernel.good("kinds::SEEN.lock()?.push(5);")
    values = "(kinds::NAME.get(), kinds::SEEN.lock()?.clone(), kinds::DEPTH.get(), kinds::next())"
    assert kernel.value(values) == '(Some("first"), [4, 5], 2, 2)'


LOGGER = """
use std::sync::Mutex;
static SINK: Mutex<Option<fn(&str)>> = Mutex::new(None);
pub fn set(sink: fn(&str)) { *SINK.lock().unwrap() = Some(sink); }
#[macro_export] macro_rules! say { ($($words:tt)*) => { $crate::write(&format!($($words)*)) } }
pub fn write(text: &str) { if let Some(sink) = *SINK.lock().unwrap() { sink(text) } else { println!("(nobody) {text}") } }
"""


def test_a_later_crate_finds_the_state_of_an_earlier_one(kernels: Any, make: Make) -> None:
    """A facade, a crate that sets it, and one that uses it, as `log` and its like, in three `:dep` lines."""
    logger = make("logger", LOGGER)
    uses = f'logger = {{ path = "{logger}" }}'
    kernel = kernels()
    kernel.good(dep(logger))
    assert kernel.good('logger::say!("one");').stdout == "(nobody) one\n"
    kernel.good('fn own(text: &str) { println!("[own] {text}"); }\nlogger::set(own);')
    worker = make("worker", "pub fn work() { logger::say!(\"from the worker\"); }", uses)
    assert not kernel.good(dep(worker)).stderr, "nothing starts anew"
    assert kernel.good("worker::work();").stdout == "[own] from the worker\n"
    sink = make("sink", 'pub fn install() { logger::set(|text| println!("[sink] {text}")); }', uses)
    kernel.good(dep(sink))
    kernel.good("sink::install();")
    assert kernel.good('worker::work();\nlogger::say!("{}", 2);').stdout == (
        "[sink] from the worker\n[sink] 2\n"
    )


def test_an_edited_crate_starts_anew_with_a_word_and_the_others_do_not(
    kernels: Any, make: Make
) -> None:
    kernel = kernels()
    make("base", METER)
    kernel.good(dep(make("meter", METER)))
    kernel.good(dep(make("base", METER)))
    kernel.good("meter::set_level(3); base::set_level(8);")
    make("base", METER + "pub fn doubled() -> u32 { 2 * level() }\n")
    cell = kernel.good("(meter::level(), base::doubled())")
    assert cell.result["text/plain"] == "(3, 0)"
    assert "`base`" in cell.stderr and "`meter`" not in cell.stderr, cell.stderr
    assert not kernel.good("base::set_level(1);").stderr, "it is said once"
    assert kernel.value("(meter::level(), base::doubled())") == "(3, 2)"


def test_a_variable_of_an_edited_crate_is_not_read_with_the_new_layout(
    kernels: Any, make: Make
) -> None:
    kernel = kernels()
    kernel.good(dep(make("shape", "#[derive(Debug)]\npub struct Size { pub width: u8 }\n")))
    kernel.good("let size = shape::Size { width: 1 };\nlet number = 5;")
    make("shape", "#[derive(Debug)]\npub struct Size { pub height: String, pub width: u8 }\n")
    cell = kernel.run("size.height.len()")
    assert "size" in cell.stderr + cell.evalue + cell.traceback, cell.problem
    assert not cell.of("execute_result")
    assert kernel.value("number") == "5"
    kernel.good('let size = shape::Size { height: "1".into(), width: 1 };')
    assert kernel.value("size.height.len()") == "1"


C = """
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/c.c"), "static int n; int count_in_c(void) { return ++n; } int deflate(void) { return 42; }").unwrap();
    let run = |program: &str, arguments: &[&str]| {
        assert!(std::process::Command::new(program).args(arguments).current_dir(&out).status().unwrap().success());
    };
    run("cc", &["-c", "-fPIC", "c.c"]);
    run("ar", &["rcs", "libinc.a", "c.o"]);
    println!("cargo:rustc-link-search=native={out}\\ncargo:rustc-link-lib=static=inc");
}
"""


def test_c_in_a_crate_has_one_state_and_its_own_names(kernels: Any, make: Make) -> None:
    """`deflate` is also a function of zlib's, which other libraries in the process may have."""
    source = """
    pub mod c { unsafe extern "C" { pub fn count_in_c() -> i32; pub safe fn deflate() -> i32; } }
    pub fn count() -> i32 { unsafe { c::count_in_c() } }
    #[inline(always)] pub fn count_inline() -> i32 { unsafe { c::count_in_c() } }
    pub fn deflate() -> i32 { c::deflate() }
    """
    kernel = kernels()
    kernel.good(dep(make("inc", source, build=C)))
    assert kernel.value("(inc::count(), inc::count_inline())") == "(1, 2)"
    assert kernel.value("(inc::count_inline(), inc::count(), unsafe { inc::c::count_in_c() })") == "(3, 4, 5)"
    assert kernel.value("inc::deflate()") == "42"


def locked(name: str) -> str:
    """The version of a crate with which Benchbook itself was compiled, so that it is on this machine."""
    lock = (Path(__file__).parents[2] / "Cargo.lock").read_text().split("[[package]]")
    versions = [part.split('version = "')[1].split('"')[0] for part in lock if f'\nname = "{name}"\n' in part]
    return f'"={versions[-1]}"'


def test_crates_that_the_helper_library_has_too_stay_apart_and_keep_their_state(
    kernels: Any, make: Make
) -> None:
    """rayon's pool, log's level, and serde_json, which a crate of the user's uses as well as the helper library."""
    kernel = kernels()
    kernel.good(f':dep rayon = {{ version = {locked("rayon")} }}')
    kernel.good("rayon::ThreadPoolBuilder::new().num_threads(3).build_global()?;")
    assert kernel.value("rayon::current_num_threads()") == "3"
    assert kernel.run("rayon::ThreadPoolBuilder::new().build_global()?;").status == "error"
    kernel.good(f':dep log = {{ version = {locked("log")} }}')
    kernel.good("log::set_max_level(log::LevelFilter::Debug);")
    json = f"serde_json = {locked('serde_json')}"
    uses = make("uses", "pub fn value() -> serde_json::Value { serde_json::json!([1, 2.5]) }", json)
    kernel.good(f'{dep(uses)}\n:dep {json}')
    assert kernel.value("(rayon::current_num_threads(), log::max_level())") == "(3, Debug)"
    kernel.good("let value: serde_json::Value = uses::value();")
    assert kernel.value("value[1].as_f64()") == "Some(2.5)"
    cell = kernel.run("let wrong: benchbook::serde_json::Value = uses::value();")
    assert cell.ename == "CompileError" and "mismatched types" in cell.evalue + cell.traceback, cell.problem
    kernel.good("let theirs: benchbook::serde_json::Value = benchbook::serde_json::json!({ \"a\": 1 });")
    assert kernel.value("theirs[\"a\"].as_i64()") == "Some(1)"


def test_a_worker_that_is_started_anew_begins_with_new_state(kernels: Any, make: Make) -> None:
    kernel = kernels()
    kernel.good(dep(make("meter", METER)))
    kernel.good("meter::set_level(3);")
    assert kernel.run("std::process::abort();").status == "error"
    assert kernel.value("meter::level()") == "0"
    kernel.good("meter::raise();")
    assert kernel.value("meter::level()") == "1"


def has_registry() -> bool:
    try:
        urllib.request.urlopen("https://index.crates.io/to/ki/tokio", timeout=20).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@pytest.fixture(scope="module")
def tokio(private_folders: None) -> Any:
    if not has_registry():
        pytest.skip("tokio is fetched from crates.io, which does not answer")
    kernel = Kernel()
    kernel.good(':dep tokio = { version = "1", features = ["full"] }')
    yield kernel
    kernel.stop()


def test_a_task_is_awaited_in_the_cell_that_spawned_it(tokio: Kernel) -> None:
    """evcxr#245: the second cell hung."""
    cell = tokio.good(
        'tokio::time::sleep(std::time::Duration::from_millis(5)).await;\nprintln!("slept");'
    )
    assert cell.stdout == "slept\n"
    code = "tokio::spawn(async { tokio::time::sleep(std::time::Duration::from_millis(5)).await; 7 })"
    assert tokio.value(f"let worker = {code};\nworker.await?") == "7"


def test_a_task_runs_on_and_is_awaited_in_a_later_cell(tokio: Kernel) -> None:
    tokio.good("let (send, mut receive) = tokio::sync::mpsc::channel::<i32>(4);")
    tokio.good(
        "let task = tokio::spawn(async move { for i in 0..3 { send.send(i).await.unwrap(); } 30 });\n"
        "tokio::task::yield_now().await;"
    )
    assert tokio.value("let mut sum = 0;\nwhile let Some(i) = receive.recv().await { sum += i; }\nsum") == "3"
    assert tokio.value("task.await?") == "30"


def test_a_runtime_of_the_users_own_is_entered_in_later_cells(tokio: Kernel) -> None:
    tokio.good("let runtime = std::sync::Arc::new(tokio::runtime::Runtime::new()?);")
    tokio.good("let kept = runtime.clone();\nlet handle = kept.spawn(async { 5 });")
    assert tokio.value("std::thread::spawn(move || runtime.block_on(handle).unwrap()).join().unwrap()") == "5"


def test_a_task_is_spawned_in_a_cell_without_await(kernels: Any) -> None:
    if not has_registry():
        pytest.skip("tokio is fetched from crates.io, which does not answer")
    kernel = kernels()
    kernel.good(':dep tokio = { version = "1", features = ["rt-multi-thread", "time", "sync"] }')
    kernel.good("let (send, receive) = tokio::sync::oneshot::channel::<i32>();")
    kernel.good("let task = tokio::spawn(async move { receive.await.unwrap() + 1 });")
    kernel.good("send.send(4).unwrap();")
    assert kernel.value("task.await?") == "5"
    kernel.good("let other = tokio::task::spawn_blocking(|| 6);")
    assert kernel.value("other.await?") == "6"


def test_more_features_start_a_crate_anew_with_a_word(kernels: Any) -> None:
    if not has_registry():
        pytest.skip("tokio is fetched from crates.io, which does not answer")
    kernel = kernels()
    kernel.good(':dep tokio = { version = "1", features = ["rt-multi-thread"] }')
    assert kernel.value("async fn one() -> i32 { 1 }\none().await") == "1"
    cell = kernel.good(':dep tokio = { version = "1", features = ["rt-multi-thread", "time"] }\ntokio::time::sleep(std::time::Duration::from_millis(2)).await;')
    assert "`tokio`" in cell.stderr, cell.stderr
    assert kernel.value("tokio::spawn(one()).await?") == "1"
