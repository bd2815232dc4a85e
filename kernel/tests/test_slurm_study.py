"""`benchbook study --on slurm` with the real packed job on a real Slurm: the tests start slurmctld, munged and two nodes with a separate
configuration and keys. Each node has its own host name (unshare(1)), so the records are those of two machines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from test_remote_study import PACKAGE, wait_for
from test_study import python_of_references

BACKENDS = ["libtorch", "tensorflow"]
NODES = ["one", "two"]
SYSTEM = "/usr/sbin:/sbin:/usr/local/sbin:"
CONFIGURATION = """
ClusterName=benchbook
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
# Tracks and signals all processes of a task, as Slurm's default does with a cgroup.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=10
NodeName=one NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=two NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=cpu Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """Slurm's daemons, and the environment in which Slurm's commands find them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": SYSTEM + os.environ["PATH"]}

    def start(self) -> None:
        folder = self.folder
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(1 + len(NODES))]
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, ports=ports, host=socket.gethostname().split(".")[0]))
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        files = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
        self.daemon("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files)
        wait_for((folder / "munge.socket").exists, 20)
        self.daemon("slurmctld", "-D")
        for node in NODES:
            (folder / f"spool-{node}").mkdir()
            name = f"hostname {node} && exec slurmd -D"
            self.daemon("unshare", "--uts", "sh", "-c", name)
        wait_for(lambda: self.slurm("sinfo", "--noheader", "--Node", "--format=%t").split() == ["idle"] * len(NODES), 60)

    def daemon(self, *words: str) -> None:
        with (self.folder / f"daemon-{len(self.processes)}.log").open("wb") as log:
            self.processes.append(subprocess.Popen(words, env=self.environment, stdout=log, stderr=subprocess.STDOUT))

    def slurm(self, *words: str) -> str:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True).stdout

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait()

    def words(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "unshare") if not shutil.which(name, path=SYSTEM + os.environ["PATH"])]
    if missing:
        pytest.skip(f"no Slurm ({', '.join(missing)}): apt-get install slurm-wlm munge, whose services start where systemd runs")
    if os.geteuid():
        pytest.skip("no Slurm: its nodes are started by root alone")
    if subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode:
        pytest.skip("no Slurm: unshare(1) is not permitted here")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        except AssertionError:
            print(cluster.words())
            raise
        finally:
            cluster.stop()


class Array:
    """The command, the tasks that it submits, and its records."""

    def __init__(self, cluster: Cluster, program: Path, template: Path, images: Path, folder: Path, plan: dict[str, Any]) -> None:
        self.cluster, self.folder = cluster, folder
        job = {
            "data": str(images),
            "net": {"architecture": "small_cnn", "size": 32},
            "build": {"device": "cpu", "threads": 1},
            "fit": {"epochs": 10, "batch_size": 4, "optimizer": {"name": "sgd", "momentum": 0.9}},
        }
        plan = {"name": "far", "backends": BACKENDS, "warm_up": 0, "retries": 0, "check": None, "job": job} | plan
        (folder / "plan.json").write_text(json.dumps(plan))
        self.command = [sys.executable, "-m", "benchbook", "study", "plan.json", "--on", "slurm:cpu", "--template", str(template)]
        self.environment = cluster.environment | {
            "PYTHONPATH": str(PACKAGE),
            "BENCHBOOK_SERVER": str(program),
            "BENCHBOOK_TENSORFLOW": str(python_of_references().parents[1]),
            "LIBTORCH": json.loads((template / "template.json").read_text())["chosen_libtorch"],
        }
        self.here = folder / "results/far-on-slurm-cpu.jsonl"
        self.there = self.here.with_name(f"{self.here.name}.tasks")

    def start(self) -> subprocess.Popen[str]:
        streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(self.command, cwd=self.folder, env=self.environment, **streams)

    def end(self, child: subprocess.Popen[str], status: int) -> str:
        said, _ = child.communicate(timeout=300)
        assert child.returncode == status, said + self.cluster.words()
        return said

    def running(self) -> dict[int, int]:
        """The processes that run a round, by round."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().decode().split("\0")
                if words[1:4] == ["study", "study.json", "--round"] and (process / "cwd").readlink() == self.there:
                    found[int(words[4])] = int(process.name)
            except (OSError, IndexError):
                continue
        return found

    def ended(self, number: int) -> int:
        """How many backends of a round have ended."""
        lines = (self.there / f"records-{number}.jsonl").read_text().splitlines()
        return len([line for line in lines if json.loads(line)["place"]["round"] == number])

    def unfinished(self, ended: int, other: int | None = None) -> tuple[int, int] | None:
        """A running round of which at most `ended` backends have ended, and its process."""
        found = self.running().items()
        return next(((number, process) for number, process in found if number != other and self.ended(number) <= ended), None)

    def half_done(self) -> int | None:
        """A running round of which one backend has ended."""
        return next((number for number in self.running() if self.ended(number) == 1), None)

    def queue(self) -> list[str]:
        return self.cluster.slurm("squeue", "--noheader", "--array", "--format=%i").split()

    def records(self) -> list[dict[str, Any]]:
        """The local records; checks that they equal those of the tasks, without duplicates."""
        lines = self.here.read_text().splitlines()
        there = {line for file in self.there.glob("records-*.jsonl") for line in file.read_text().splitlines()}
        assert sorted(lines) == sorted(there)
        return [json.loads(line) for line in lines]


def test_killed_tasks_and_a_killed_command_lose_no_round_and_double_none(
    cluster: Cluster, program: Path, template: Path, draw: Any, tmp_path: Path
) -> None:
    rounds = 6
    array = Array(cluster, program, template, draw(tmp_path / "images", 12, 4, 4), tmp_path, {"repeats": rounds})

    child = array.start()
    cancelled = wait_for(array.half_done)
    (task,) = [name for name in array.queue() if name.endswith(f"_{cancelled}")]
    cluster.slurm("scancel", task)
    killed, process = wait_for(lambda: array.unfinished(0, other=cancelled))
    os.kill(process, signal.SIGKILL)
    said = array.end(child, 1)
    missing = f"missing rounds: {', '.join(map(str, sorted((cancelled, killed))))}"
    assert missing in said and "the same command resumes" in said, said
    states = Counter(record["status"]["state"] for record in array.records())
    assert states["ok"] < rounds * len(BACKENDS) and states["interrupted"] == 1, states

    child = array.start()
    wait_for(array.running)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert array.queue(), "tasks stay in the queue without the command"
    before = len(array.here.read_text().splitlines())
    child = array.start()
    said = array.end(child, 0)
    assert len(array.records()) > before

    ended = [record for record in array.records() if record["status"] == {"state": "ok"}]
    count = Counter((record["place"]["backend"], record["place"]["round"], record["environment"]["host"]) for record in ended)
    assert set(count.values()) == {1}, count
    hosts = {name: {host for backend, _, host in count if backend == name} for name in BACKENDS}
    assert [len(each) for each in hosts.values()] == [2, 2], "both nodes took part"
    whole = {number for _, number, host in count if all((name, number, host) in count for name in BACKENDS)}
    assert whole == set(range(rounds)), "each round is whole on one node"
    for host in hosts["libtorch"]:
        assert f"host {host[:8]}" in said, "the table keeps the nodes apart"

    text = array.here.read_text()
    array.end(array.start(), 0)
    assert array.here.read_text() == text and not array.queue(), "everything was there already"


def test_another_study_does_not_replace_the_plan_of_waiting_tasks(
    cluster: Cluster, program: Path, template: Path, draw: Any, tmp_path: Path
) -> None:
    """Both studies have one file of records, beside which the plan is."""
    plan = {"repeats": 3, "backends": ["libtorch"]}
    array = Array(cluster, program, template, draw(tmp_path / "images", 12, 4, 4), tmp_path, plan)
    array.command += ["--records", str(array.here)]
    child = array.start()
    wait_for(array.running)
    child.send_signal(signal.SIGKILL)
    child.wait()
    first = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text(json.dumps(json.loads(first) | {"name": "other"}))
    said = array.end(array.start(), 1)
    assert "in the queue runs another plan" in said, said
    (tmp_path / "plan.json").write_text(first)
    array.end(array.start(), 0)


def test_an_interrupt_cancels_the_tasks(cluster: Cluster, program: Path, template: Path, draw: Any, tmp_path: Path) -> None:
    plan = {"repeats": 3, "backends": ["libtorch"]}
    array = Array(cluster, program, template, draw(tmp_path / "images", 12, 4, 4), tmp_path, plan)
    child = array.start()
    wait_for(array.running)
    child.send_signal(signal.SIGINT)
    array.end(child, 130)
    assert not array.queue() and not array.running()
    array.end(array.start(), 0)
    rounds = Counter(record["place"]["round"] for record in array.records() if record["status"] == {"state": "ok"})
    assert rounds == Counter(range(3))


@pytest.mark.skipif("BENCHBOOK_FULL" not in os.environ, reason="takes minutes; set BENCHBOOK_FULL=1")
def test_a_task_that_slurm_loses_is_resumed(cluster: Cluster, program: Path, template: Path, draw: Any, tmp_path: Path) -> None:
    """slurmstepd is killed, so the task's processes have no parent in Slurm."""
    plan = {"repeats": 4, "warm_up": 1, "check": {"steps": 2}}
    array = Array(cluster, program, template, draw(tmp_path / "images", 12, 4, 4), tmp_path, plan)
    child = array.start()
    number = wait_for(array.half_done)
    stat = Path(f"/proc/{array.running()[number]}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
    child.communicate(timeout=600)
    wait_for(lambda: number not in array.running())
    array.end(array.start(), 0)
    ended = [record for record in array.records() if record["status"] == {"state": "ok"} and not record["place"]["warm_up"]]
    count = Counter((record["place"]["backend"], record["place"]["round"], record["environment"]["host"]) for record in ended)
    assert set(count.values()) == {1}, count
    assert {number for _, number, _ in count} == set(range(1, 5))


def test_what_cannot_work_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "plan.json").write_text(json.dumps({"job": {"data": "images"}}))

    def said(*words: str) -> str:
        command = [sys.executable, "-m", "benchbook", "study", "plan.json", *words]
        environment = {"PATH": str(tmp_path), "PYTHONPATH": str(PACKAGE), "BENCHBOOK_SERVER": "/bin/false"}
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode in (1, 2)
        return ran.stderr

    assert "there is no `squeue` here; --on slurm needs a machine that submits jobs" in said("--on", "slurm")
    # An argument that begins as an option does is the value of --sbatch.
    assert "there is no `squeue` here" in said("--on", "slurm", "--sbatch", "--time=60")
    assert "--sbatch needs --on slurm; got --on ssh:there" in said("--on", "ssh:there", "--sbatch=--time=60")


def test_a_study_has_ended_where_a_whole_line_says_so() -> None:
    ended = {"status": {"state": "ok"}, "place": {"study": "far"}}
    other = {"status": {"state": "ok"}, "place": None}
    failed = ended | {"status": {"state": "failed", "message": "full"}}
    lines = [json.dumps(row).encode() for row in (ended, other, failed)]
    command = [sys.executable, "-c", "import sys; from benchbook import slurm; print(slurm.has_ended(sys.argv[1].encode(), 'far'))"]
    found = []
    for line in [*lines, lines[0][:20], b""]:
        ran = subprocess.run([*command, line], env=os.environ | {"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, check=True)
        found.append(ran.stdout.strip())
    assert found == ["True", "False", "False", "False", "False"]
