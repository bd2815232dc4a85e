"""environment/tensorflow and environment/tensorflow_wheel.py, on a wheel of a few bytes."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ENVIRONMENT = Path(__file__).parents[1]
TOOL = ENVIRONMENT / "tensorflow_wheel.py"
NAME = "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl"
FILES = {
    "tensorflow/libtensorflow_cc.so.2": "library",
    "tensorflow/libtensorflow_framework.so.2": "framework",
    "tensorflow/__init__.py": "python",
}


def wheel(folder, files):
    path = folder / NAME
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def take(folder, path):
    return subprocess.run([sys.executable, TOOL, folder, path], capture_output=True, text=True)


def command(*arguments, **variables):
    ran = subprocess.run(
        [ENVIRONMENT / "tensorflow", *arguments], capture_output=True, text=True, env={**os.environ, **variables}
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_only_the_library_is_taken_and_its_version_is_written_down(tmp_path):
    folder = tmp_path / "tensorflow"
    assert take(folder, wheel(tmp_path, FILES)).returncode == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "libtensorflow_cc.so.2": "library",
        "libtensorflow_framework.so.2": "framework",
        "version": "2.21.0\n",
    }


def test_a_wheel_without_the_library_leaves_no_folder(tmp_path):
    failed = take(tmp_path / "tensorflow", wheel(tmp_path, {"tensorflow/__init__.py": "python"}))
    assert failed.returncode != 0
    assert "tensorflow/libtensorflow_cc.so.2" in failed.stderr
    assert not list(tmp_path.glob("tensorflow*/"))


def test_an_older_library_and_what_was_left_half_are_replaced(tmp_path):
    folder = tmp_path / "tensorflow"
    for name in ("tensorflow", "tensorflow.partial-abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "version").write_text("2.9.0\n")
    assert take(folder, wheel(tmp_path, FILES)).returncode == 0
    assert (folder / "version").read_text() == "2.21.0\n"
    assert not (tmp_path / "tensorflow.partial-abc").exists()


def test_help_says_size_and_place():
    status, said = command("--help")
    assert status == 0
    assert "270 MB to download" in said and "BENCHBOOK_TENSORFLOW" in said


def test_a_wrong_argument_is_refused():
    status, said = command("--gpu")
    assert status == 1
    assert "environment/tensorflow takes no --gpu" in said


def test_a_library_that_is_there_is_kept(tmp_path):
    pinned = re.search(r"^tensorflow-cpu==(\S+) --hash=sha256:[0-9a-f]{64}$",
                       (ENVIRONMENT / "tensorflow.txt").read_text(), re.MULTILINE)
    folder = tmp_path / "tensorflow"
    assert pinned and take(folder, wheel(tmp_path, FILES)).returncode == 0
    (folder / "version").write_text(f"{pinned[1]}\n")
    status, said = command(BENCHBOOK_CACHE=str(tmp_path))
    assert status == 0, said
    assert f"TensorFlow {pinned[1]} in {folder}" in said
    assert (folder / "libtensorflow_cc.so.2").read_text() == "library"
