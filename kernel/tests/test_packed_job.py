"""environment/hosted/colab with the true packed job, on a stand-in for Colab that keeps its machine in a folder here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HOSTED = Path(__file__).parents[2] / "environment/hosted"
COLAB = """#!/bin/sh
mkdir -p "$MACHINE/content"
case $1 in
upload) cp "$4" "$MACHINE$5" ;;
exec) cd "$MACHINE/content" && "$PYTHON" "$7" ;;
download) cp "$MACHINE$4" "$5" ;;
esac
"""


def test_the_packed_job_runs_where_there_is_no_rust_and_brings_its_record_back(
    program: Path, template: Path, draw: Any, tmp_path: Path
) -> None:
    images = draw(tmp_path / "images", 8, 4, 4)
    net = {"architecture": "vgg16", "size": 32}
    job = {"data": "", "net": net, "build": {"threads": 1}, "fit": {"epochs": 1, "batch_size": 4}}
    (tmp_path / "job.json").write_text(json.dumps(job))
    for name, script in {"colab": COLAB, "benchbook": f'#!/bin/sh\nshift\nexec "{program}" bench --template "{template}" "$@"\n'}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    libtorch = json.loads((template / "template.json").read_text())["chosen_libtorch"]
    # No rustc is on this PATH.
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "LIBTORCH": libtorch,
        "MACHINE": str(tmp_path / "machine"),
        "PYTHON": sys.executable,
        "TMPDIR": str(tmp_path),
    }
    command = [HOSTED / "colab", "--gpu", "none", "--results", tmp_path / "results", images, tmp_path / "job.json"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Epoch 1/1" in ran.stdout
    record = json.loads((tmp_path / "results/record.json").read_text())
    assert record["status"] == {"state": "ok"}
    assert record["images_seen"] == {"training": 8, "validation": 4, "test": 4}
