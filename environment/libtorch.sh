# shellcheck shell=bash
# Sourced by setup.sh: which libtorch is used, and how one comes here when there is none.
#
# In this order: LIBTORCH; the PyTorch of an active Python environment; the CUDA build, where an NVIDIA GPU
# and its driver suit it; else the part of that build that a CPU needs. Sets `libtorch`, a folder with lib/
# and include/.

# From CUDA 13's release notes and PyTorch's list of architectures for its CUDA 13 builds.
minimum_driver=580
minimum_capability=7.5

# libtorch_of FOLDER: prints its version without the build's suffix (2.11.0 for 2.11.0+cu130).
libtorch_of() {
    local version=
    if [[ -f $1/build-version ]]; then
        version=$(<"$1/build-version")
    elif [[ -f $1/version.py ]]; then
        version=$(sed -n "s/^__version__ = '\(.*\)'/\1/p" "$1/version.py")
    fi
    echo "${version%%+*}"
}

# fault_of FOLDER: prints why it cannot be used; nothing when it can.
fault_of() {
    local version
    version=$(libtorch_of "$1")
    if [[ ! -d $1 ]]; then
        echo "there is no such folder"
    elif [[ ! -f $1/lib/libtorch_cpu.so || ! -d $1/include/torch ]]; then
        echo "lib/libtorch_cpu.so or include/torch is not in it"
    elif [[ -z $version ]]; then
        echo "neither its build-version nor its version.py says which version it is"
    elif [[ $version != "$libtorch_version" ]]; then
        echo "it is version $version and Benchbook needs $libtorch_version"
    fi
}

# torch_in PREFIX: the folder of the PyTorch in a Python environment, without running its Python.
torch_in() {
    local folder
    for folder in "$1"/lib/python3*/site-packages/torch; do
        if [[ -d $folder ]]; then
            echo "$folder"
            return
        fi
    done
}

# Whether a GPU and its driver suit the CUDA build; says the reason when there is a GPU that does not.
gpu_suits() {
    local driver capability seen=
    while IFS=', ' read -r driver capability; do
        [[ $driver =~ ^[0-9]+\. && $capability =~ ^[0-9]+\.[0-9]+$ ]] || continue
        if at_least "$minimum_driver" "${driver%%.*}" && at_least "$minimum_capability" "$capability"; then
            return 0
        fi
        seen="the driver is $driver and the GPU's compute capability $capability"
    done < <(nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null)
    if [[ -n $seen ]]; then
        say "The CPU is used: libtorch $libtorch_version for CUDA needs driver $minimum_driver and compute capability $minimum_capability or newer; $seen."
    fi
    return 1
}

plan_libtorch() {
    local fault prefix folder
    if [[ -n ${LIBTORCH:-} ]]; then
        fault=$(fault_of "$LIBTORCH")
        [[ -z $fault ]] || stop "LIBTORCH=$LIBTORCH cannot be used: $fault. Set it to a libtorch $libtorch_version, or unset it to have one downloaded."
        use_libtorch "$LIBTORCH"
        return
    fi
    for prefix in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
        [[ -z $prefix || $prefix -ef $venv ]] && continue
        folder=$(torch_in "$prefix")
        [[ -z $folder ]] && continue
        fault=$(fault_of "$folder")
        if [[ -z $fault ]]; then
            use_libtorch "$folder"
            return
        fi
        say "The PyTorch of the active environment ($folder) is not used: $fault."
    done
    folder=$(torch_in "$venv")
    if [[ -n $folder && -z $(fault_of "$folder") ]]; then
        use_libtorch "$folder"
    elif gpu_suits; then
        step "libtorch" 300 2500 cuda_libtorch_step "PyTorch $libtorch_version for CUDA into .venv, 4700 MB on disk"
    else
        libtorch=$cache/libtorch-$libtorch_version-cpu
        if [[ -z $(fault_of "$libtorch") ]]; then
            step "libtorch" 1 0 say_libtorch ""
        else
            step "libtorch" 60 545 cpu_libtorch_step "PyTorch $libtorch_version, of which the CPU's part is kept: 500 MB in $cache"
        fi
    fi
}

use_libtorch() {
    libtorch=$1
    step "libtorch" 1 0 say_libtorch ""
}

say_libtorch() { say "      libtorch $(libtorch_of "$libtorch") in $libtorch"; }

cuda_libtorch_step() {
    pip_install "torch==$libtorch_version"
    libtorch=$(torch_in "$venv")
    say_libtorch
}

cpu_libtorch_step() {
    local lock
    mkdir -p "$cache"
    # Of two set-ups with one cache the second waits here and then finds the folder complete.
    exec {lock}>"$cache/libtorch.lock"
    flock "$lock"
    if [[ -n $(fault_of "$libtorch") ]]; then download_cpu_libtorch; fi
    exec {lock}>&-
    say_libtorch
}

# The wheels stay until the folder is complete, so that an interrupted step downloads only what is missing;
# pip compares each with the checksum in libtorch.txt, also one that is already there.
download_cpu_libtorch() {
    local wheels=$cache/wheels-$libtorch_version pin
    mkdir -p "$wheels"
    while read -r pin; do
        [[ $pin == '#'* || -z $pin ]] && continue
        say "      ${pin%% *}"
        printf '%s\n' "$pin" >"$wheels/pin.txt"
        # One wheel for every Python: only its C++ libraries are used. Not through pip's own cache: that
        # would keep 530 MB for nothing.
        "$venv/bin/python" -m pip download --no-input --no-deps --no-cache-dir --require-hashes --only-binary=:all: \
            --implementation cp --python-version 3.11 --platform manylinux_2_28_x86_64 \
            --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
            --disable-pip-version-check --dest "$wheels" -r "$wheels/pin.txt" </dev/null ||
            stop "libtorch could not be downloaded: pip's words are above. With a libtorch $libtorch_version of your own, set LIBTORCH to its folder."
    done <environment/libtorch.txt
    say "      unpacking the CPU's part"
    "$venv/bin/python" environment/libtorch.py "$libtorch" "$wheels"/*.whl
    rm -r "$wheels"
}
