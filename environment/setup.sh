# shellcheck shell=bash
# Sourced by environment/run and environment/test: the set-up of both, from the compiler to the installed
# kernelspec. `plan_setup` inspects the machine and adds the steps; only the steps change anything.

# Absolute, because commands run in the repository and notebooks in their own folder.
for variable in LIBTORCH BENCHBOOK_DATA BENCHBOOK_WEIGHTS BENCHBOOK_CACHE CARGO_TARGET_DIR; do
    if [[ -n ${!variable:-} ]]; then export "$variable=$(realpath -m "${!variable}")"; fi
done
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$repository/.venv
target=${CARGO_TARGET_DIR:-$repository/target}
cache=${BENCHBOOK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/benchbook}
benchbook=$target/release/benchbook
# The one libtorch that the pinned tch crate is made for.
libtorch_version=2.11.0
minimum_python=3.10
minimum_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repository/Cargo.toml")
# The version that rustup uses in this checkout. Without rustup, any newer Rust is accepted.
pinned_rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$repository/rust-toolchain.toml")

# plan_setup COMMAND: COMMAND is the command to repeat after manual steps.
plan_setup() {
    by_hand=()
    cd "$repository"
    [[ "$(uname -s) $(uname -m)" == "Linux x86_64" ]] ||
        stop "Benchbook runs on Linux on x86-64 only; this machine is $(uname -s) on $(uname -m)."
    # rustup's own line for the shell's start-up file takes effect in the next shell only.
    if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    plan_rust
    plan_system
    if ((${#by_hand[@]} > 0)); then
        stop "$(printf '%s\n' "Run these commands yourself:" "${by_hand[@]/#/  }" "Then start $1 again.")"
    fi
    plan_python
}

at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

# --- Rust ---------------------------------------------------------------------------------------------

plan_rust() {
    local found=none
    needs_curl=
    if command -v cargo >/dev/null && command -v rustc >/dev/null; then
        found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || found=none
    fi
    # rustup knows toolchains by their names, and the pinned version may be there as `stable`.
    if [[ $found == none ]] && command -v cargo >/dev/null && [[ $(RUSTUP_TOOLCHAIN=stable rustc --version 2>/dev/null) == "rustc $pinned_rust "* ]]; then
        export RUSTUP_TOOLCHAIN=stable
        found=$pinned_rust
    fi
    if [[ $found == none ]] || ! at_least "$minimum_rust" "${found%%-*}"; then
        if [[ $found == none ]]; then
            say "Rust $minimum_rust or newer is needed; no working cargo and rustc are in PATH."
        else
            say "Rust $minimum_rust or newer is needed; rustc is $found ($(command -v rustc))."
        fi
        if command -v rustup >/dev/null; then
            by_hand+=("rustup toolchain install $pinned_rust --profile minimal --component rust-src")
        else
            needs_curl=yes
            by_hand+=("curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain $pinned_rust -c rust-src")
        fi
        return
    fi
    if has_rust_src; then
        step "Rust and its sources" 1 0 rust_step ""
    elif command -v rustup >/dev/null; then
        step "Rust and its sources" 10 4 rust_step "adds rust-src, the standard library's source"
    else
        say "rust-src, the standard library's source, is missing, and rustup is not installed to add it."
        by_hand+=("${sudo}apt-get install -y rust-src   # or your distribution's package for $(rustc --print sysroot)")
    fi
}

has_rust_src() { [[ -f $(rustc --print sysroot)/lib/rustlib/src/rust/library/std/src/lib.rs ]]; }

rust_step() {
    if ! has_rust_src; then
        rustup component add rust-src || stop "rust-src could not be added. rustup needs the network for it, once:
  rustup component add rust-src"
        has_rust_src || stop "rustup says that rust-src is installed, but its files are not in $(rustc --print sysroot). This puts them back:
  rustup component remove rust-src && rustup component add rust-src"
    fi
    say "      $(rustc --version), rust-src in $(rustc --print sysroot)"
}

# --- System packages ----------------------------------------------------------------------------------

missing_packages() {
    local names=
    if ! command -v c++ >/dev/null || ! command -v cc >/dev/null; then names+=' g++'; fi
    # Debian's python3 lacks ensurepip, without which `python3 -m venv` fails halfway.
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then names+=' python3 python3-venv'; fi
    if [[ -n $needs_curl ]] && ! command -v curl >/dev/null; then names+=' curl ca-certificates'; fi
    echo "${names# }"
}

plan_system() {
    local found
    packages=$(missing_packages)
    if [[ -z $packages ]]; then
        found=$(python3 -c 'import platform; print(platform.python_version())')
        at_least "$minimum_python" "$found" ||
            stop "Python $minimum_python or newer is needed; python3 is $found ($(command -v python3))."
        step "System packages" 1 0 system_step ""
        return
    fi
    say "Missing from the system: $packages"
    if ! command -v apt-get >/dev/null; then
        by_hand=("install with your package manager: a C++ compiler, Python $minimum_python or newer with venv${needs_curl:+, curl}" "${by_hand[@]}")
    elif [[ -z ${may_install:-} ]] || ((${#by_hand[@]} > 0)); then
        by_hand=("${sudo}apt-get update && ${sudo}apt-get install -y $packages" "${by_hand[@]}")
    else
        step "System packages" 60 80 system_step "installs $packages"
    fi
}

# The prefix of apt-get, and whether it works without a password.
sudo=
may_install=yes
if ((EUID != 0)); then
    sudo='sudo '
    sudo -n true 2>/dev/null || may_install=
fi

# apt_install PACKAGE…: installs Debian's packages.
apt_install() {
    # $sudo is split into words on purpose.
    # shellcheck disable=SC2086
    $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

system_step() {
    if [[ -n $packages ]]; then
        # $packages is split into words on purpose.
        # shellcheck disable=SC2086
        apt_install $packages
        packages=$(missing_packages)
        [[ -z $packages ]] || stop "Still missing after apt-get: $packages"
    fi
    say "      $(c++ --version | head -n 1), $(python3 --version)"
}

# --- Python -------------------------------------------------------------------------------------------

python_stamp() { cat environment/requirements.txt environment/constraints.txt kernel/python/pyproject.toml | sha256sum | cut -d ' ' -f 1; }

has_python_environment() {
    [[ -f $venv/benchbook.stamp && $(<"$venv/benchbook.stamp") == "$(python_stamp)" ]] && "$venv/bin/python" -c '' 2>/dev/null
}

plan_python() {
    if has_python_environment; then
        step "Python environment" 1 0 python_step ""
    else
        step "Python environment" 60 60 python_step "JupyterLab and the notebook tools into .venv"
    fi
}

python_step() {
    if ! has_python_environment; then
        # Recreate an environment without pip (interrupted) or without its Python (removed).
        if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then python3 -m venv --clear "$venv"; fi
        pip_install -r environment/requirements.txt || stop "The Python packages could not be installed: pip's messages are above. Without a network, pip needs
  PIP_FIND_LINKS=<folder with the wheels of environment/constraints.txt> PIP_NO_INDEX=1"
        python_stamp >"$venv/benchbook.stamp"
    fi
    say "      $("$venv/bin/python" --version) in $venv"
}

pip_install() {
    "$venv/bin/python" -m pip install --no-input --disable-pip-version-check -c environment/constraints.txt "$@" </dev/null
}

# --- The kernel ---------------------------------------------------------------------------------------

plan_build() {
    local crates=0
    [[ -d ${CARGO_HOME:-$HOME/.cargo}/registry/cache ]] || crates=70
    if [[ -x $benchbook ]]; then
        step "Kernel server" 5 "$crates" build_step ""
    else
        step "Kernel server" "$(on_these_cores 600)" "$crates" build_step "builds it in target/, with rust-analyzer's crates"
    fi
}

build_step() {
    cargo build --locked --release -p benchbook-kernel -p benchbook-drawings </dev/null
}

# is_libtorch FOLDER: whether it is the libtorch that Benchbook needs, with the headers that the build needs.
is_libtorch() {
    [[ -f $1/lib/libtorch_cpu.so && -d $1/include/torch ]] &&
        grep -qs "\b${libtorch_version//./\\.}\b" "$1/build-version" "$1/version.py"
}

# The server, once built, chooses the libtorch; this only estimates the download.
plan_libtorch() {
    local folder
    if [[ -n ${LIBTORCH:-} ]] && ! is_libtorch "$LIBTORCH"; then
        stop "LIBTORCH=$LIBTORCH is not a libtorch $libtorch_version: looked for lib/libtorch_cpu.so, include/torch, and the version in build-version or version.py. Set it to one, or unset it to download one."
    fi
    for folder in "${LIBTORCH:-}" {"$venv","${VIRTUAL_ENV:-}","${CONDA_PREFIX:-}"}/lib/python3*/site-packages/torch "$cache/libtorch-$libtorch_version"-{cuda/torch,cpu}; do
        if is_libtorch "$folder"; then
            step "libtorch" 1 0 libtorch_step ""
            return
        fi
    done
    if nvidia-smi --list-gpus >/dev/null 2>&1; then
        step "libtorch" 400 2700 libtorch_step "PyTorch $libtorch_version with CUDA if it suits the GPU and its driver, 4900 MB in $cache; else its part for the CPU, 500 MB"
    else
        step "libtorch" 60 545 libtorch_step "PyTorch $libtorch_version, of which the part for the CPU is kept: 500 MB in $cache"
    fi
}

libtorch_step() {
    BENCHBOOK_SERVER=$benchbook "$venv/bin/python" -m benchbook setup --libtorch-only --yes </dev/null
    libtorch=$(BENCHBOOK_SERVER=$benchbook "$venv/bin/python" -c 'from benchbook import setup; print(setup.machine()["libtorch"]["found"])')
}

plan_install() {
    plan_libtorch
    if [[ -f $venv/share/jupyter/kernels/benchbook/kernel.json ]]; then
        step "Helper library and kernelspec" 5 0 install_step ""
    else
        step "Helper library and kernelspec" "$(on_these_cores 360)" 0 install_step "builds the library that cells use in $cache"
    fi
}

install_step() {
    # Shares a target folder with the helper library's tests, so that dependencies are compiled once.
    "$benchbook" install --source "$repository" --libtorch "$libtorch" --prefix "$venv" \
        --target-dir "$target/helper" </dev/null
    # From here on, notebooks and tests start the environment's own programs.
    export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
    "$benchbook" doctor </dev/null
}

# Drawings replace missing photos; environment/test always needs them.
plan_drawings() {
    if [[ -d datasets/drawings ]]; then
        step "Drawings" 1 0 drawings_step ""
    else
        step "Drawings" 20 0 drawings_step "draws cats and dogs into datasets/drawings"
    fi
}

# Not by datasets/generate: cargo would build the generator alone, for which its dependencies have other
# features than in the build above, and take a minute for it.
drawings_step() {
    if [[ ! -d datasets/drawings ]]; then "$target/release/benchbook-drawings" --out datasets/drawings </dev/null; fi
    say "      $(find datasets/drawings -type f | wc -l) files in datasets/drawings"
}

# --- The wheel ----------------------------------------------------------------------------------------

plan_wheel() { step "Wheel" 40 0 wheel_step "packs it into target/wheels"; }

wheel_step() { "$venv/bin/python" environment/wheel.py "$target/wheels"; }
