# shellcheck shell=bash
# Sourced by environment/test: the checks, cheapest first. Each runs in a subshell of its own, and its failure
# does not stop the next one.

# Short forms by default. Rust's long tests are #[ignore]d; those of Python read BENCHBOOK_FULL.
long_tests() {
    if [[ -n $full ]]; then
        export BENCHBOOK_FULL=1
        # What environment/soak takes.
        full_minutes=20
        rust_test_options=(-- --include-ignored --show-output)
    else
        full_minutes=0
        # What tests that pass print: figures, and that they were skipped.
        rust_test_options=(-- --show-output)
    fi
    rm -rf "$logs" && mkdir -p "$logs"
}

plan_cheap_checks() {
    long_tests
    check "Rust format" 3 0 check_rust_format "cargo fmt --check"
    check "Shell scripts" 5 0 check_shell "shellcheck"
    check "Python syntax" 2 0 check_python "compiles every .py"
    check "Notebooks against their sources" 3 0 check_sources "compares the cells"
    check "Tests of the environment" 120 0 check_environment "pytest environment/tests"
}

plan_library_checks() {
    # Without the kernel server: its dependencies get other features in one build with these, and
    # rust-analyzer's crates would be compiled a second time.
    check "Tests without a compiler" "$(on_these_cores 180)" 0 check_libraries "cargo test"
}

plan_server_checks() {
    check "Tests of the kernel server" "$(on_these_cores 60)" 0 check_server "cargo test"
    check "Clippy" "$(on_these_cores 180)" 0 check_clippy "all but the helper library"
}

plan_helper_checks() {
    check "Tests of the helper library" "$(on_these_cores 420)" 0 check_helper "cargo test, with libtorch"
    check "Clippy on the helper library" "$(on_these_cores 60)" 0 check_helper_clippy "with libtorch"
}

plan_kernel_checks() {
    check "Tests of the running kernel" "$((full_minutes * 60 + 900))" 0 check_kernel "pytest kernel/tests"
    check "Notebooks" 240 0 check_notebooks "papermill runs each at a tiny scale, on drawings"
    if [[ -n $full ]]; then
        check "Notebooks in Python" 140 0 check_colab_notebooks "runs each of notebooks/colab with %%rust at a tiny scale"
    else
        check "Notebooks in Python" 70 0 check_colab_notebooks "runs two of notebooks/colab with %%rust at a tiny scale"
    fi
    if [[ -n ${BENCHBOOK_DATA:-} ]]; then
        check "Notebooks on photos" 240 0 check_notebooks_on_photos "runs each on $BENCHBOOK_DATA"
    fi
}

# --- The references and TensorFlow ---------------------------------------------------------------------

# The tests compare with them, so they are no option here.
plan_references() {
    if [[ -f $repository/.venv-references/benchbook.stamp ]]; then
        step "Python references and TensorFlow" 15 0 references_step ""
    else
        step "Python references and TensorFlow" 380 2650 references_step "PyTorch, Keras and JAX for Python into .venv-references, 5500 MB on disk"
    fi
    if [[ -n $full ]]; then
        step "Further Python libraries" 400 1960 more_references_step "Theano, MXNet and PyTorch 1.13 into .venv-references-*, 5200 MB on disk"
    fi
}

references_step() {
    environment/references --cpu python-keras-jax
    environment/tensorflow
}

more_references_step() {
    environment/references python-theano python-mxnet
    if python3.10 -c '' 2>/dev/null; then
        environment/references python-pytorch@1.13
    else
        say "      PyTorch 1.13 needs Python 3.10, which is not here; its tests are skipped."
    fi
}

# --- Skipped tests --------------------------------------------------------------------------------------

plan_skips() { check "Skipped tests" 1 0 check_skips "each for an expected reason"; }

# Rust's tests print a line "SKIPPED: reason", pytest a line "SKIPPED [count] place: reason".
check_skips() {
    local skips unexpected
    skips=$(cat "$logs"/* | sed -n 's/\x1b\[[0-9;]*m//g; /^SKIPPED/p')
    if [[ -z $skips ]]; then
        say "no test was skipped"
        return
    fi
    say "$(wc -l <<<"$skips") skipped:" "$skips"
    unexpected=$(grep -v -f <(grep -v -e '^#' -e '^$' environment/expected-skips.txt) <<<"$skips") || return 0
    stop "skipped for a reason that environment/expected-skips.txt does not have:
$unexpected"
}

# logged NAME COMMAND…: keeps what a test run prints for check_skips.
logs=$target/test-logs
logged() { "${@:2}" </dev/null 2>&1 | tee "$logs/$1"; }

# --- The browser --------------------------------------------------------------------------------------

# For the test of JupyterLab alone. Where it may not or cannot be installed, nothing else suffers: the test is
# skipped, and says with which line it would run.
has_chromium() { [[ -n $(type -P chromium chromium-browser google-chrome) ]]; }

has_playwright() { "$venv/bin/python" -c 'import playwright' 2>/dev/null; }

may_install_chromium() { [[ -n ${may_install:-} ]] && command -v apt-get >/dev/null; }

plan_browser() {
    if has_chromium && has_playwright; then
        step "Browser" 1 0 browser_step ""
    elif has_chromium; then
        step "Browser" 10 50 browser_step "Playwright into .venv, to drive Chromium in the test of JupyterLab"
    elif may_install_chromium; then
        step "Browser" 60 175 browser_step "installs chromium, and Playwright into .venv, for the test of JupyterLab"
    else
        step "Browser" 1 0 browser_step ""
    fi
}

browser_step() {
    if ! has_chromium && may_install_chromium; then
        # The words of $sudo are meant to be split.
        # shellcheck disable=SC2086
        {
            $sudo apt-get update -q &&
                $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium
        } || say "      apt-get could not install it"
    fi
    if ! has_chromium; then
        say "      There is no Chromium, so the test of JupyterLab will be skipped. With this line it runs:"
        say "        ${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends chromium"
        return
    fi
    if ! has_playwright && ! pip_install -r environment/requirements-browser.txt; then
        say "      Playwright could not be installed, so the test of JupyterLab will be skipped: pip's words are above."
        return
    fi
    say "      $("$(type -P chromium chromium-browser google-chrome | head -n 1)" --version 2>/dev/null)"
}

# The packages that are built without libtorch and without rust-analyzer.
library_packages=(--workspace --exclude benchbook --exclude benchbook-kernel --exclude benchbook-libtorch --exclude benchbook-worker)
server_packages=(-p benchbook-kernel -p benchbook-drawings)
helper_packages=(-p benchbook -p benchbook-libtorch -p benchbook-worker)

# need_component SUBCOMMAND COMPONENT: adds the rustup component that brings a cargo subcommand.
need_component() {
    if ! cargo "$1" --version >/dev/null 2>&1; then
        rustup component add "$2" || stop "$2 is missing: rustup component add $2"
    fi
}

check_rust_format() {
    need_component fmt rustfmt
    cargo fmt --all --check
}

check_shell() {
    local scripts
    mapfile -t scripts < <(grep -rlIE '^#!.*\b(bash|sh)$' environment datasets .ci .binder)
    "$venv/bin/shellcheck" --external-sources --check-sourced --source-path="$repository" "${scripts[@]}"
    say "${#scripts[@]} scripts and what they source: no finding"
}

check_python() {
    find environment kernel datasets -name '*.py' -print0 |
        PYTHONPYCACHEPREFIX=$target/pycache xargs -0 -r "$venv/bin/python" -W error -m py_compile
}

notebook_sources() { find notebooks -name '*.rs' -not -path '*/.*' | sort; }

check_sources() {
    local sources
    mapfile -t sources < <(notebook_sources)
    "$venv/bin/python" environment/notebook check "${sources[@]}"
}

# run_pytest NAME PATH…
run_pytest() {
    # Wide lines: pytest folds the reasons of skips.
    COLUMNS=400 logged "$1" "$venv/bin/python" -m pytest -q -rs -p no:cacheprovider --color=auto "${@:2}"
}

check_environment() { run_pytest environment environment/tests; }

check_libraries() {
    logged libraries cargo test --locked --no-fail-fast --release "${library_packages[@]}" "${rust_test_options[@]}"
}

check_server() {
    logged server cargo test --locked --no-fail-fast --release "${server_packages[@]}" "${rust_test_options[@]}"
}

# --release, so that procedural macros and build scripts are those of the build.
check_clippy() {
    need_component clippy clippy
    cargo clippy --locked --release --all-targets "${server_packages[@]}" -- -D warnings
    cargo clippy --locked --release --all-targets "${library_packages[@]}" -- -D warnings
}

# What `benchbook install` sets for the helper library, in a target folder of its own: libstd is shared
# (-Cprefer-dynamic), and the flags would otherwise have the server compiled again. LIBTORCH is the folder of
# links that it compiled against.
helper_environment() {
    triple=$(rustc -vV | sed -n 's/^host: //p')
    export RUSTFLAGS=-Cprefer-dynamic CARGO_TARGET_DIR=$target/helper LIBTORCH=$target/helper/libtorch
    LD_LIBRARY_PATH=$libtorch/lib:$(rustc --print target-libdir)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
    # Where tests look for libtorch's CUDA library.
    export BENCHBOOK_LIBTORCH_LIB=$libtorch/lib
}

check_helper() {
    helper_environment
    logged helper cargo test --locked --no-fail-fast --profile helper --target "$triple" "${helper_packages[@]}" "${rust_test_options[@]}"
}

check_helper_clippy() {
    helper_environment
    cargo clippy --locked --profile helper --target "$triple" --all-targets "${helper_packages[@]}" -- -D warnings
}

# Two files at a time: the tests mostly wait for a compiler that uses one core.
check_kernel() { run_pytest kernel kernel/tests -n 2 --dist loadfile; }

check_notebooks() {
    unset BENCHBOOK_DATA BENCHBOOK_WEIGHTS
    run_notebooks drawings execute_with_papermill
}

check_notebooks_on_photos() { run_notebooks photos execute; }

# run_notebooks KIND HOW: each notebook at its smallest, KIND telling apart the results. No cell may fail, and what a chart
# draws must be what its record says.
run_notebooks() {
    local path name library results=results/test-$1 failed=() parameters=(-p scale tiny -p results "../results/test-$1")
    rm -rf "$results"
    computing_library
    while read -r path; do
        name=$(basename "${path%.rs}")
        "$2" "$path" "$results/$name" "${parameters[@]}" "${library[@]}" || failed+=("$path")
    done < <(notebook_sources)
    ((${#failed[@]} == 0)) || stop "failed: ${failed[*]}"
}

# The %%rust forms, in one folder as on Colab: its drawings are made by the first and found by the others.
check_colab_notebooks() {
    local path library results=results/test-colab failed=() notebooks=(notebooks/colab/*.ipynb)
    [[ -n $full ]] || notebooks=("${notebooks[@]:0:2}")
    unset BENCHBOOK_DATA BENCHBOOK_WEIGHTS
    rm -rf "$results"
    mkdir -p "$results"
    computing_library
    for path in "${notebooks[@]}"; do
        execute "$path" "$results/$(basename "${path%.ipynb}")" --installed --directory "$results" -p scale tiny "${library[@]}" ||
            failed+=("$path")
    done
    ((${#failed[@]} == 0)) || stop "failed: ${failed[*]}"
}

# Sets library: the parameters that notebooks need where TensorFlow is missing.
computing_library() {
    library=()
    # Without -q, which would end the pipe before doctor has said all.
    if ! "$venv/bin/benchbook" doctor </dev/null | grep '^ok  *TensorFlow' >/dev/null; then
        say "      TensorFlow is not installed (environment/tensorflow), so the notebooks are told to use LibTorch."
        library=(-p backend libtorch)
    fi
}

# execute NOTEBOOK FOLDER OPTION...
execute() {
    "$venv/bin/python" environment/notebook run "$@" --records "$(dirname "$2")" --records notebooks/report.json </dev/null
}

execute_with_papermill() {
    local executed
    executed=$2/$(basename "${1%.rs}").ipynb
    mkdir -p "$2"
    "$venv/bin/python" -m papermill "${1%.rs}.ipynb" "$executed" "${@:3}" --cwd notebooks --start-timeout 180 --no-progress-bar </dev/null &&
        "$venv/bin/python" environment/notebook charts "$executed" "$(dirname "$2")" notebooks/report.json &&
        "$venv/bin/python" environment/notebook page "$executed"
}
