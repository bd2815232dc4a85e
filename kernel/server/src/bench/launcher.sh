#!/bin/sh
# Runs a Benchbook job (as `bench`), a study (as `study`) or the list of libraries (as `libraries`) on this machine's
# libtorch @VERSION@: LIBTORCH if it is set, else the PyTorch of python3. Nothing is compiled or downloaded.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$0")
case $name in
bench) role=job ;;
*) role=$name ;;
esac

if [ -n "${LIBTORCH:-}" ]; then
    torch=$LIBTORCH
else
    # Finding the package is enough; importing it would take seconds.
    torch=$(python3 -c 'import importlib.util, os
spec = importlib.util.find_spec("torch")
print(os.path.dirname(spec.origin) if spec else "")' 2>/dev/null) || torch=
fi
if [ -z "$torch" ] || [ ! -e "$torch/lib/libtorch_cpu.so" ]; then
    echo "$name: no libtorch: set LIBTORCH to a folder with libtorch @VERSION@, or install it with \`pip install torch==@VERSION@\`" >&2
    exit 1
fi

if [ -e "$torch/build-version" ]; then
    version=$(cat "$torch/build-version")
else
    version=$(sed -n "s/^__version__ = ['\"]\([^'\"]*\).*/\1/p" "$torch/version.py")
fi
case $version in
    @VERSION@ | @VERSION@+*) ;;
    *)
        echo "$name: $torch is libtorch ${version:-of unknown version}, and this needs @VERSION@" >&2
        exit 1
        ;;
esac

export BENCHBOOK_HELPER="$here/lib/libbenchbook.so"
export BENCHBOOK_LIBTORCH_LIB="$torch/lib"
export LD_LIBRARY_PATH="$torch/lib:$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/benchbook-worker" "$role" "$@"
