"""Runs on Colab or Kaggle: unpacks job.bin, installs the PyTorch that the job needs if another one is there, runs the job.

The job's record is written to record.json in the working folder, which is where `colab` and `kaggle` fetch it.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

TORCH = "2.11.0"
# PyTorch's own index: its CUDA 12.8 build runs with the older drivers of hosted machines, PyPI's CUDA 13 build does not.
INDEX = "https://download.pytorch.org/whl/" + ("cu128" if shutil.which("nvidia-smi") else "cpu")
DATASETS = Path("/kaggle/input")


def call(*words: object, **variables: object) -> None:
    """Runs a command and shows its output as it comes; a notebook shows what Python prints, not what its children print."""
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    process = subprocess.Popen([str(word) for word in words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        print(line, end="", flush=True)
    if process.wait() != 0:
        raise SystemExit(f"{words[0]} ended with status {process.returncode}")


def torch_version() -> str:
    try:
        return metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        return "not installed"


here = Path.cwd()
archives = [path for folder in (here, DATASETS) for path in folder.rglob("job.bin")]
if not archives:
    raise SystemExit(f"job.bin is neither in {here} nor in {DATASETS}")
work = Path(tempfile.mkdtemp(prefix="benchbook-"))
for archive in (archives[0], work / "bench.tar.gz"):
    with tarfile.open(archive) as files:
        files.extractall(work, filter="data")

variables = {}
if "LIBTORCH" not in os.environ and torch_version() != TORCH:
    print(f"torch is {torch_version()}; installing {TORCH} from {INDEX}", flush=True)
    call(sys.executable, "-m", "pip", "install", "--quiet", "--target", work / "torch", f"torch=={TORCH}", "--index-url", INDEX)
    variables["LIBTORCH"] = work / "torch/torch"
jobs = [work / "job.json"] if (work / "job.json").exists() else []
call(work / "benchbook-bench/bench", *jobs, "--data", work / "data", "--record", here / "record.json", **variables)
