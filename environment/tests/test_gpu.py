"""environment/gpu: the plan, the program that runs it on another machine, and what is made of its results.

The programs of a packed job are shell commands here; kernel/tests/test_gpu.py runs the true ones, in miniature.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ON_GPU = REPOSITORY / "environment/on_gpu"
sys.path.insert(0, str(ON_GPU))

import collect  # noqa: E402
import paths  # noqa: E402
from plan import ALL, PRECISIONS, Scale, plan  # noqa: E402


class Machine:
    """An unpacked archive whose steps are shell commands, beside a Python whose torch is a few lines."""

    def __init__(self, folder):
        self.folder, self.out = folder / "benchbook-gpu", folder / "out"
        self.folder.mkdir()
        for name, source in {"run": "run.py", "aims.py": "aims.py", "plan.py": "plan.py"}.items():
            (self.folder / name).write_text((ON_GPU / source).read_text())
        torch = folder / "python/torch"
        torch.mkdir(parents=True)
        words = "__version__ = '2.11.0+cu130'\nclass cuda:\n    is_available = staticmethod(lambda: False)\n    device_count = staticmethod(lambda: 0)\n"
        (torch / "__init__.py").write_text(words)
        self.python = str(torch.parent)

    def steps(self, **scripts):
        settings = {"seconds": 60, "status": [0], "says": [], "environment": {}}
        settings |= {"interrupt_after": None, "beside": None, "if_missed": None}
        steps = []
        for id, script in scripts.items():
            script = script if isinstance(script, dict) else {"commands": [script]}
            commands = [["bash", "-c", text] for text in script.pop("commands")]
            steps.append({"id": id, "title": f"the step {id}", **settings, **script, "commands": commands})
        (self.folder / "steps.json").write_text(json.dumps(steps))

    def run(self, *words, minutes=10.0):
        command = [sys.executable, self.folder / "run", "--minutes", str(minutes), "--out", self.out, *words]
        ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": self.python})
        return ran.returncode, ran.stdout + ran.stderr

    def states(self):
        with tarfile.open(self.out / "benchbook-gpu.tar.gz") as archive:
            names = [name for name in archive.getnames() if name.startswith("steps/")]
            records = [json.load(archive.extractfile(name)) for name in names]
        return {record["id"]: record["state"] for record in records}


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_each_step_has_a_record_and_a_later_call_does_only_what_is_left(machine):
    machine.steps(
        good="echo hello >work/records/good.txt",
        bad="echo no such thing >&2; exit 3",
        silent={"commands": ["echo nothing"], "says": ["out of memory"]},
        refuses={"commands": ["echo CUDA out of memory; exit 1"], "status": [1], "says": ["out of memory"]},
    )
    status, said = machine.run("--only", "good,bad,silent")
    assert status == 1 and "exit status 3, not 0: no such thing" in said and "lacks 'out of memory'" in said, said
    assert machine.states() == {"good": "done", "bad": "failed", "silent": "failed", "refuses": "not reached"}
    machine.steps(
        good="exit 1",
        bad="true",
        silent={"commands": ["echo still nothing"], "says": ["out of memory"]},
        refuses={"commands": ["echo CUDA out of memory; exit 1"], "status": [1], "says": ["out of memory"]},
    )
    status, said = machine.run()
    assert machine.states() == {"good": "done", "bad": "done", "silent": "failed", "refuses": "done"}, said
    assert said.index("refuses") < said.index("bad"), "what was never tried comes first"


def test_a_step_that_takes_too_long_is_ended_with_all_that_it_started_and_the_next_call_goes_on(machine, tmp_path):
    script = f"trap 'echo interrupted; exit 130' INT; [[ -e {tmp_path}/second ]] && exit 0; touch {tmp_path}/second; sleep 300 & wait"
    machine.steps(slow={"commands": [script], "seconds": 1}, next="true")
    status, said = machine.run()
    assert status == 0 and machine.states() == {"slow": "out of time", "next": "done"}, said
    status, said = machine.run()
    assert status == 0 and machine.states() == {"slow": "done", "next": "done"}, said


def test_without_time_nothing_begins_and_the_number_of_steps_left_is_told(machine):
    machine.steps(one="true", two="true")
    status, said = machine.run(minutes=0.1)
    assert status == 0 and "2 steps are left for the next call" in said and "2 not reached" in said


def test_a_fresh_machine_goes_on_from_the_results_of_another(machine, tmp_path):
    machine.steps(one="true", two="true")
    machine.run("--only", "one")
    (tmp_path / "fresh").mkdir()
    fresh = Machine(tmp_path / "fresh")
    fresh.out = machine.out
    fresh.steps(one="exit 9", two="true")
    status, said = fresh.run()
    assert status == 0 and fresh.states() == {"one": "done", "two": "done"}, said


def test_an_interrupt_is_sent_when_the_output_says_so_and_commands_run_side_by_side(machine, tmp_path):
    waits = "trap 'echo goes on from there; exit 130' INT; echo '[1/3] libtorch'; while :; do sleep 0.1; done"
    meet = f"touch {tmp_path}/%s; for _ in {{1..100}}; do [[ -e {tmp_path}/%s ]] && exit 0; sleep 0.1; done; exit 1"
    machine.steps(
        interrupt={"commands": [waits], "interrupt_after": r"\[1/3\]", "status": [130], "says": ["goes on"]},
        together={"commands": [meet % ("a", "b"), meet % ("b", "a")]},
    )
    status, said = machine.run()
    assert status == 0 and machine.states() == {"interrupt": "done", "together": "done"}, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_stopped_call_has_started_ends_with_it_and_the_next_call_goes_on(machine, tmp_path, number):
    machine.steps(slow=f"[[ -e {tmp_path}/pid ]] && exit 0; echo $$ >{tmp_path}/pid; exec sleep 300")
    command = [sys.executable, machine.folder / "run", "--out", machine.out]
    call = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": machine.python}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert call.poll() is None
    call.send_signal(number)
    said = call.communicate()[1]
    assert call.returncode == 1 and said == "run: stopped; the same command resumes\n", said
    # What has no parent any more is reaped by the system, a moment later.
    left, end = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}"), time.monotonic() + 30
    while left.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not left.exists()
    status, said = machine.run()
    assert status == 0 and machine.states() == {"slow": "done"}, said


def record(backend, milliseconds, peak, **more):
    place = {"study": "vgg16-tf32", "backend": backend, "warm_up": False}
    resources = {"train": {"gpu_peak_bytes": peak}}
    return {"status": {"state": "ok"}, "place": place, "step_seconds": [milliseconds / 1000] * 10, "resources": resources} | more


@pytest.mark.parametrize(("own", "state"), [(50, "not reached"), (53, "done")])
def test_a_step_that_explains_a_missed_aim_is_left_out_until_one_is_missed(machine, own, state):
    rows = [record("libtorch", own, 8e9), record("python-pytorch", 52, 8e9)]
    study = "".join(f"echo {shlex.quote(json.dumps(row))} >>work/records/vgg16-tf32.jsonl;" for row in rows)
    machine.steps(why={"commands": ["true"], "if_missed": "vgg16-tf32"}, study=study)
    status, said = machine.run()
    assert status == 0 and machine.states() == {"why": "not reached", "study": "done"}, said
    status, said = machine.run()
    assert status == 0 and machine.states() == {"why": state, "study": "done"}, said


def test_the_wrong_torch_and_an_unknown_step_are_named(machine):
    machine.steps(one="true")
    assert "there is no step tow; steps are one" in machine.run("--only", "tow")[1]
    torch = Path(machine.python, "torch/__init__.py")
    torch.write_text(torch.read_text().replace("2.11.0", "2.10.0"))
    status, said = machine.run()
    assert status != 0 and "has torch 2.10.0+cu130, and this archive needs 2.11.0" in said
    torch.write_text("import libcudart_that_nobody_has\n")
    status, said = machine.run()
    assert status != 0 and "cannot import torch: ModuleNotFoundError: No module named 'libcudart_that_nobody_has'" in said


def test_a_command_that_is_missing_fails_its_step_alone(machine):
    machine.steps(watched={"commands": ["true"], "beside": ["nvidia-smi-that-nobody-has"]}, next="true")
    status, said = machine.run()
    assert status == 1 and machine.states() == {"watched": "failed", "next": "done"}, said
    assert "a command does not start: [Errno 2] No such file or directory: 'nvidia-smi-that-nobody-has'" in said


def test_what_comes_back_is_one_file_below_16_mib(machine):
    machine.steps(loud="head -c 30000000 /dev/urandom | base64 -w 100; mkdir -p work/output; head -c 20000000 /dev/urandom >work/output/big.txt")
    (machine.folder / "work/profiles/files").mkdir(parents=True)
    (machine.folder / "work/profiles/files/libtorch.json").write_bytes(os.urandom(20_000_000))
    machine.run()
    (file,) = machine.out.iterdir()
    assert file.stat().st_size < 16 << 20
    assert machine.states() == {"loud": "done"}


def test_the_plan_has_the_issues_order_and_at_most_twelve_configurations_first():
    for scale in Scale:
        made = plan(scale)
        ids = [step.id for step in made.steps]
        assert len(ids) == len(set(ids))
        first = [f"vgg16-{precision}" for precision in PRECISIONS]
        assert ids[: ids.index(first[-1]) + 1] == ["doctor", "libraries", "device-tests", "agreement-float64", "agreement-float32", *first]
        if scale is Scale.GPU:
            assert sum(step.seconds for step in made.steps[: ids.index(first[-1]) + 1]) <= 600
        studies = [made.files[f"plans/{id}.json"] for id in first]
        assert sum(len(study["backends"]) for study in studies) == 12 and studies[0]["backends"] == ALL
        for path, value in made.files.items():
            job = value.get("job", value)
            assert job["build"]["device"] == scale.device and not Path(job["data"]).is_absolute(), path


def test_later_rounds_go_on_with_the_first_rounds_records_of_the_same_job():
    made = plan(Scale.GPU).files
    for precision in PRECISIONS:
        first, later = (made[f"plans/vgg16-{precision}{suffix}.json"] for suffix in ("", "-rounds"))
        assert (first["round"], first["repeats"], later.get("round")) == (0, 3, None)
        assert all(first[key] == later[key] for key in ("name", "records", "backends", "repeats", "warm_up", "job"))


def test_a_profile_is_told_by_the_time_that_each_kernel_or_operation_itself_took(tmp_path):
    def event(name, category, start, duration, thread=1):
        return {"ph": "X", "cat": category, "name": name, "ts": start, "dur": duration, "tid": thread}

    # A convolution of 100 microseconds, 70 of them in an operation within it; and another thread's.
    operations = [event("aten::conv2d", "cpu_op", 0, 100), event("aten::mkldnn", "cpu_op", 20, 70), event("aten::add", "cpu_op", 50, 10, 2)]
    assert collect.own_times(operations) == {"aten::conv2d": (1, 30), "aten::mkldnn": (1, 70), "aten::add": (1, 10)}
    (tmp_path / "vgg16-tf32").mkdir()
    trace = tmp_path / "vgg16-tf32/libtorch.json"
    trace.write_text(json.dumps({"traceEvents": [*operations, {"ph": "i", "name": "[memory]"}]}))
    told = collect.hottest(trace)
    assert "Ten steps: 0.1 ms, of which operations of the processor 0.1 ms." in told
    assert "| `aten::mkldnn` | 1 | 0.07 | 63.6% |" in told
    kernels = [event("gemm", "kernel", 10, 40, 7), event("gemm", "kernel", 60, 40, 7), event("Memcpy HtoD", "gpu_memcpy", 0, 20, 8)]
    trace.write_text(json.dumps({"traceEvents": operations + kernels}))
    told = collect.hottest(trace)
    assert "\n## vgg16-tf32: libtorch\n\nTen steps" in told and "aten" not in told
    assert "| `gemm` | 2 | 0.08 | 80.0% |" in told and "| `Memcpy HtoD` | 1 | 0.02 | 20.0% |" in told


def test_what_a_killed_process_left_unfinished_is_left_out(tmp_path):
    row = json.dumps(record("libtorch", 50, 8e9))
    assert collect.parsed(f"{row}\n{row[:100]}\n{row}\n") == [json.loads(row)] * 2
    for text in ("", '{"traceEvents": [{"ph": "X", "na'):
        (tmp_path / "libtorch.json").write_text(text)
        assert f"`libtorch.json` is unfinished: {len(text)} bytes" in collect.hottest(tmp_path / "libtorch.json")


def test_results_are_merged_and_the_aims_are_ratios_within_a_study():
    rows = [record("libtorch", 50, 8e9), record("python-pytorch", 52, 9e9), record("python-pytorch-compile", 45, 9e9)]
    files = [record("libtorch", 50, 8e9, rates={"real": 900.0, "synthetic": 1000.0, "loader": 5000.0})]
    found = {(aim.study, aim.what): aim for aim in collect.aims({"vgg16-tf32": rows, "files": files})}
    verdicts = {aim.verdict for aim in found.values() if aim.study == "vgg16-float32"}
    assert verdicts == {"not measured"}
    eager = found["vgg16-tf32", "a step, of PyTorch eager's time"]
    assert (round(eager.value, 3), eager.verdict) == (0.962, "met")
    compiled = found["vgg16-tf32", "a step, of torch.compile's time"]
    assert (round(compiled.value, 3), compiled.verdict) == (1.111, "missed")
    assert found["vgg16-tf32", "peak GPU memory, of PyTorch eager's"].verdict == "met"
    assert [aim.verdict for aim in found.values() if aim.study == "files"] == ["missed"]


def test_an_aim_is_a_ratio_on_one_machine():
    """A study whose first machine was given back before PyTorch's runs, and that a machine of twice the speed has resumed."""
    place = [{"environment": {"host": host}} for host in ("first", "second")]
    rows = [record("libtorch", 100, 8e9) | place[0] for _ in range(3)]
    rows += [record("libtorch", 50, 8e9) | place[1], record("python-pytorch", 50, 8e9) | place[1]]
    aims = {(aim.study, aim.what): aim for aim in collect.aims({"vgg16-tf32": rows})}
    assert aims["vgg16-tf32", "a step, of PyTorch eager's time"].value == 1.0
    assert collect.aims({"vgg16-tf32": rows[:3]})[0].value is None


def test_a_step_of_another_revisions_plan_comes_last(tmp_path):
    known = plan(Scale.GPU).steps[0].id
    (tmp_path / "steps").mkdir()
    for id in ("gone", known):
        (tmp_path / "steps" / f"{id}.json").write_text(json.dumps({"id": id, "state": "done"}))
    (tmp_path / "machine.json").write_text("{}")
    with tarfile.open(tmp_path / collect.RESULTS, "w:gz") as archive:
        for name in ("steps", "machine.json"):
            archive.add(tmp_path / name, name)
    (tmp_path / "into").mkdir()
    steps, _, _ = collect.merge([tmp_path], tmp_path / "into")
    assert [step["id"] for step in steps] == [known, "gone"]


def test_the_list_of_what_only_a_gpu_reaches_is_current_and_names_what_is_there():
    listed = paths.read()
    for path in listed:
        assert path["name"] in (REPOSITORY / path["file"]).read_text(), f"{path['file']} has no `{path['name']}`"
        assert bool(path["steps"]) != bool(path.get("unreachable")), path
        assert all(path[key] for key in ("does", "read", "nearest")), path
    steps = {step.id for step in plan(Scale.GPU).steps}
    assert {step for path in listed for step in path["steps"]} <= steps
    kept = json.loads(paths.KEPT.read_text()) if paths.KEPT.exists() else []
    assert paths.PAGE.read_text() == paths.page(listed, kept), "run `environment/gpu --paths`"
    section = (REPOSITORY / "README.md").read_text().split("## Measured on a GPU")[1].split("\n## ")[0]
    assert ("**Never run**" in section) == (not kept), "README.md must say what kernel/gpu-records says"


def test_a_path_is_run_where_a_step_that_runs_it_is_done_on_a_gpu():
    path = {"steps": ["a", "b"]}
    assert paths.outcome(path, {}) == "never run"
    assert paths.outcome(path, {"a": "failed", "b": "not reached"}) == "failed, not reached"
    assert paths.outcome(path, {"a": "failed", "b": "done"}) == "run"
    assert paths.outcome({"steps": []}, {"a": "done"}) == "never run"
