"""environment/hosted: what `colab` and `kaggle` pack and run, with stand-ins for the commands of Colab and Kaggle.

The stand-ins keep the other machine in a folder, where they run job.py for real on a packed job of a few lines.
kernel/tests/test_packed_job.py does the same with the true packed job.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

HOSTED = Path(__file__).parents[1] / "hosted"
# `benchbook bench --pack ARCHIVE`: a job that records its arguments, or fails where the images say so.
BENCHBOOK = """#!/usr/bin/env bash
set -e
folder=$(mktemp -d)
mkdir "$folder/benchbook-bench"
cat >"$folder/benchbook-bench/bench" <<'END'
#!/bin/bash -e
while (($# > 0)); do
    case $1 in
    --data) data=$2 && shift ;;
    --record) record=$2 && shift ;;
    *) job=$(cat "$1") ;;
    esac
    shift
done
echo "4 epochs"
[[ ! -e $data/broken ]] || { echo "bench: no images" >&2; exit 1; }
printf '{"cats": "%s", "job": %s, "libtorch": "%s"}' "$(ls "$data/train/cat")" "${job:-null}" "$LIBTORCH" >"$record"
END
chmod +x "$folder/benchbook-bench/bench"
tar -czf "$3" -C "$folder" benchbook-bench
"""
# Both print their arguments into calls.txt. `colab exec` ends with status 0 even if the code fails, as the true one does.
COLAB = """#!/usr/bin/env bash
echo "colab $*" >>"$MACHINE/calls.txt"
mkdir -p "$MACHINE/content"
case $1 in
upload) cp "$4" "$MACHINE$5" ;;
exec) cd "$MACHINE/content" && python3 "$7" || true ;;
download) cp "$MACHINE$4" "$5" ;;
esac
"""
KAGGLE = """#!/usr/bin/env bash
echo "kaggle $*" >>"$MACHINE/calls.txt"
mkdir -p "$MACHINE/working"
case "$1 $2" in
"datasets create") cp "$4/job.bin" "$MACHINE/working/" ;;
"datasets status") [[ -e $MACHINE/seen ]] && echo ready || { touch "$MACHINE/seen"; echo blobs_received; } ;;
"kernels push") cd "$MACHINE/working" && { python3 "$4/job.py" && echo COMPLETE || echo ERROR; } >"$MACHINE/state" 2>"$MACHINE/log" ;;
"kernels status") echo "$3 has status \\"KernelWorkerStatus.$(tail -n 1 "$MACHINE/state")\\"" ;;
"kernels output") cp "$MACHINE/working/record.json" "$5/" ;;
esac
"""


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


class Desk:
    """A user's machine with a folder of images, the stand-ins, and PyTorch 2.11.0 as far as its metadata goes."""

    def __init__(self, folder):
        self.folder = folder
        self.results = folder / "results"
        self.images = folder / "my images"
        (self.images / "train/cat").mkdir(parents=True)
        (self.images / "train/cat/tom.jpg").touch()
        (folder / "machine").mkdir()
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.add("benchbook", BENCHBOOK)
        self.add("sleep", "#!/bin/sh\n")
        self.add("python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.torch("2.11.0+cu128")

    def add(self, name, script):
        path = self.tools / name
        path.write_text(script)
        path.chmod(0o755)

    def torch(self, version):
        information = self.folder / "python/torch.dist-info"
        information.mkdir(parents=True, exist_ok=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")

    def run(self, service, *words):
        environment = {
            **os.environ,
            "PATH": f"{self.tools}:/usr/bin:/bin",
            "PYTHONPATH": str(self.folder / "python"),
            "MACHINE": str(self.folder / "machine"),
            "TMPDIR": str(self.folder),
        }
        for variable in ("KAGGLE_USERNAME", "LIBTORCH"):
            environment.pop(variable, None)
        command = [HOSTED / service, "--results", self.results, *words]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, cwd=self.folder)
        return ran.returncode, ran.stdout + ran.stderr

    def calls(self):
        calls = self.folder / "machine/calls.txt"
        return calls.read_text().splitlines() if calls.exists() else []

    def record(self):
        return json.loads((self.results / "record.json").read_text())


def announced(said):
    return [line.removeprefix("+ ").split("   #")[0] for line in said.splitlines() if line.startswith("+ ")]


@pytest.mark.parametrize("service", ["colab", "kaggle"])
def test_the_scripts_are_short_enough_to_read(service):
    assert len((HOSTED / service).read_text().splitlines()) <= 40


def test_each_place_takes_at_most_three_lines_to_copy():
    blocks = re.findall(r"^```(?:sh)?\n(.+?)^```$", (HOSTED / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 7
    assert all(len(block.splitlines()) <= 3 for block in blocks), blocks


def test_a_dry_run_for_colab_packs_and_prints_the_commands(desk):
    (desk.folder / "job.json").write_text('{"data": "elsewhere"}')
    status, said = desk.run("colab", "--dry-run", "--gpu", "L4", desk.images, "job.json")
    assert status == 0, said
    name = re.search(r"benchbook-\d+", said)[0]
    assert announced(said) == [
        f"colab new -s {name} --gpu L4",
        f"colab upload -s {name} {desk.results}/job.bin /content/job.bin",
        f"colab exec -s {name} --timeout 7200 -f {HOSTED}/job.py",
        f"colab download -s {name} /content/record.json {desk.results}/record.json",
        f"colab stop -s {name}",
    ]
    assert desk.calls() == []
    with tarfile.open(desk.results / "job.bin") as files:
        assert files.getnames() == ["bench.tar.gz", "job.json", "data", "data/train", "data/train/cat", "data/train/cat/tom.jpg"]


def test_a_dry_run_for_kaggle_writes_the_metadata_and_prints_the_commands(desk):
    status, said = desk.run("kaggle", "--dry-run", "--user", "ada", "--timeout", "600", desk.images)
    assert status == 0, said
    kernel = json.loads((desk.results / "kernel/kernel-metadata.json").read_text())
    dataset = json.loads((desk.results / "dataset/dataset-metadata.json").read_text())
    name = dataset["title"]
    assert re.fullmatch(r"benchbook-\d{8}-\d{6}", name)
    assert dataset == {"title": name, "id": f"ada/{name}", "licenses": [{"name": "other"}]}
    assert kernel == {
        "title": name,
        "id": f"ada/{name}",
        "dataset_sources": [f"ada/{name}"],
        "is_private": True,
        "enable_gpu": True,
        "enable_internet": True,
        "code_file": "job.py",
        "language": "python",
        "kernel_type": "script",
    }
    assert announced(said) == [
        f"kaggle datasets create -p {desk.results}/dataset",
        f"kaggle datasets status ada/{name}",
        f"kaggle kernels push -p {desk.results}/kernel --timeout 600 --accelerator NvidiaTeslaT4",
        f"kaggle kernels status ada/{name}",
        rf"kaggle kernels output ada/{name} -p {desk.results} --force --file-pattern record\\.json",
    ]
    assert desk.calls() == []
    assert sorted(path.name for path in (desk.results / "dataset").iterdir()) == ["dataset-metadata.json", "job.bin"]
    # Kaggle refuses a script of more than 1 MB.
    assert (desk.results / "kernel/job.py").stat().st_size < 1_000_000


def test_without_a_gpu_none_is_requested(desk):
    _, said = desk.run("colab", "--dry-run", "--gpu", "none", desk.images)
    assert "--gpu" not in said
    _, said = desk.run("kaggle", "--dry-run", "--gpu", "none", "--user", "ada", desk.images)
    assert "--accelerator" not in said
    assert json.loads((desk.results / "kernel/kernel-metadata.json").read_text())["enable_gpu"] is False


@pytest.mark.parametrize(("service", "command"), [("colab", COLAB), ("kaggle", KAGGLE)])
def test_a_job_runs_there_and_its_record_comes_back(desk, service, command):
    desk.add(service, command)
    (desk.folder / "job.json").write_text('{"data": "elsewhere"}')
    user = ["--user", "ada"] if service == "kaggle" else []
    status, said = desk.run(service, *user, desk.images, "job.json")
    assert status == 0, said
    assert desk.record() == {"cats": "tom.jpg", "job": {"data": "elsewhere"}, "libtorch": ""}
    calls = desk.calls()
    assert [call for index, call in enumerate(calls) if call != calls[index - 1]] == [line.replace("\\\\", "\\") for line in announced(said)]


def test_a_failed_job_on_colab_is_an_error_and_the_machine_is_given_back(desk):
    desk.add("colab", COLAB)
    (desk.images / "broken").touch()
    desk.results.mkdir()
    (desk.results / "record.json").write_text("of an earlier run")
    status, said = desk.run("colab", desk.images)
    assert status == 1
    assert "bench: no images" in said
    assert "colab: the job wrote no record" in said
    assert desk.calls()[-1].startswith("colab stop -s benchbook-")
    assert not (desk.results / "record.json").exists()


def test_a_failed_job_on_kaggle_is_an_error(desk):
    desk.add("kaggle", KAGGLE)
    (desk.images / "broken").touch()
    status, said = desk.run("kaggle", "--user", "ada", desk.images)
    assert status == 1
    assert "KernelWorkerStatus.ERROR" in said
    assert not any("kernels output" in call for call in desk.calls())


def test_another_pytorch_is_replaced_for_the_job_alone(desk):
    desk.add("colab", COLAB)
    desk.torch("2.10.0+cu128")
    # In place of pip: what it is asked for.
    (desk.folder / "python/pip.py").write_text("import os, sys\nopen(os.environ['MACHINE'] + '/pip.txt', 'w').write(' '.join(sys.argv[1:]))\n")
    status, said = desk.run("colab", desk.images)
    assert status == 0, said
    asked = (desk.folder / "machine/pip.txt").read_text()
    folder = Path(desk.record()["libtorch"])
    assert f"--target {folder.parent} torch==2.11.0 --index-url https://download.pytorch.org/whl/" in asked
    assert "torch is 2.10.0; installing 2.11.0" in said


@pytest.mark.parametrize(("service", "line"), [("colab", "python3.12 -m pip install google-colab-cli"), ("kaggle", "python3 -m pip install kaggle")])
def test_a_missing_command_is_named_with_its_installation(desk, service, line):
    status, said = desk.run(service, "--user", "ada", desk.images)
    assert status == 1
    assert f"the command `{service}` is missing; install it: {line}" in said
    assert not desk.results.exists()


def test_more_than_colab_takes_is_refused_before_a_machine_is_rented(desk):
    desk.add("colab", COLAB)
    desk.add("stat", "#!/bin/sh\necho 400000000\n")
    status, said = desk.run("colab", desk.images)
    assert status == 1
    assert "has 400 MB and `colab upload` can send 400 MB" in said
    assert desk.calls() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["colab"], 'give a folder of images, for example datasets/drawings (got "")'),
        (["colab", "nowhere"], 'got "nowhere"'),
        (["colab", ".", "missing.json"], "missing.json: no such file"),
        (["colab", "--epochs", "3"], "unknown option --epochs; see --help"),
        (["colab", "--gpu"], "--gpu needs a value"),
        (["kaggle", "--dry-run", "my images"], "give your name on Kaggle: --user NAME, or KAGGLE_USERNAME"),
    ],
)
def test_a_wrong_command_line_is_explained(desk, words, message):
    status, said = desk.run(*words)
    assert status == 1
    assert message in said
