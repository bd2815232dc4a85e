"""environment/libtorch.py on wheels of a few bytes."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "libtorch.py"
TORCH = {
    "torch/version.py": "from typing import Optional\n__version__ = '2.11.0+cu130'\n",
    "torch/lib/libtorch_cpu.so": "cpu",
    "torch/lib/libtorch_cuda.so": "cuda",
    "torch/lib/libtorch.so": "needs cuda",
    "torch/lib/libc10.so": "c10",
    "torch/lib/libgomp.so.1": "gomp",
    "torch/include/torch/script.h": "header",
}
CUDA = {"nvidia/cu13/lib/libcudart.so.13": "runtime", "nvidia/cu13/lib/libcupti.so.13": "cupti"}


def wheel(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def assemble(folder, *wheels):
    return subprocess.run([sys.executable, TOOL, folder, *wheels], capture_output=True, text=True)


@pytest.fixture
def wheels(tmp_path):
    return [wheel(tmp_path / "torch.whl", TORCH), wheel(tmp_path / "cuda.whl", CUDA)]


def test_only_the_part_for_a_cpu_is_taken(tmp_path, wheels):
    folder = tmp_path / "libtorch"
    assert assemble(folder, *wheels).returncode == 0
    assert sorted(path.name for path in (folder / "lib").iterdir()) == [
        "libc10.so",
        "libcudart.so.13",
        "libcupti.so.13",
        "libgomp.so.1",
        "libtorch.so",
        "libtorch_cpu.so",
    ]
    assert (folder / "lib/libtorch.so").read_text() == "INPUT(-ltorch_cpu -lc10)\n"
    assert (folder / "include/torch/script.h").read_text() == "header"
    assert (folder / "build-version").read_text() == "2.11.0+cu130\n"


def test_a_wheel_without_a_library_leaves_no_folder(tmp_path, wheels):
    folder = tmp_path / "libtorch"
    failed = assemble(folder, wheels[0])
    assert failed.returncode != 0
    assert "libcudart.so.13" in failed.stderr
    assert not folder.exists()
    assert not list(tmp_path.glob("libtorch.partial-*"))


def test_what_an_interrupted_run_left_is_cleared_away(tmp_path, wheels):
    left = tmp_path / "libtorch.partial-abc"
    left.mkdir()
    (left / "half").write_text("half")
    assert assemble(tmp_path / "libtorch", *wheels).returncode == 0
    assert not left.exists()


def test_an_unusable_folder_is_replaced(tmp_path, wheels):
    folder = tmp_path / "libtorch"
    folder.mkdir()
    (folder / "build-version").write_text("2.9.0\n")
    assert assemble(folder, *wheels).returncode == 0
    assert (folder / "build-version").read_text() == "2.11.0+cu130\n"
