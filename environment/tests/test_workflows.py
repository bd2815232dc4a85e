"""The GitHub workflows: linted, and with the versions that the rest of the repository has. The hooks of pre-commit: they run checks that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent


def lint(*words, given=None):
    ran = subprocess.run([TOOLS / words[0], *words[1:]], input=given, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def found(name, pattern):
    """What the pattern's group finds in a file of the repository, as a set."""
    return set(re.findall(pattern, (REPOSITORY / name).read_text(), re.MULTILINE))


def steps(workflow):
    return [step for job in yaml.safe_load(workflow.read_text())["jobs"].values() for step in job.get("steps", [])]


def test_workflows_follow_the_schema_of_github():
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_workflows_have_no_security_finding():
    lint("zizmor", "--offline", "--no-progress", *WORKFLOWS)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_scripts_in_workflows_have_no_finding_of_shellcheck(workflow):
    for script in [step["run"] for step in steps(workflow) if "run" in step]:
        # GitHub runs them with `bash -e`.
        lint("shellcheck", "--shell=bash", "-", given=f"set -e\n{script}")


def test_actions_are_pinned_to_a_commit_with_its_version():
    lines = [line.strip() for workflow in WORKFLOWS for line in workflow.read_text().splitlines() if "uses:" in line and "$/" not in line]
    assert lines
    for line in lines:
        assert re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_jobs_have_only_the_rights_that_they_name():
    for workflow in WORKFLOWS:
        description = yaml.safe_load(workflow.read_text())
        assert description["permissions"] == {}, workflow.name
        assert all("permissions" in job for job in description["jobs"].values()), workflow.name


@pytest.mark.parametrize(
    ("what", "places"),
    [
        (
            "benchbook",
            {
                "Cargo.toml": r'^version = "(.+)"$',
                "kernel/python/pyproject.toml": r'^version = "(.+)"$',
                "kernel/python/benchbook/__init__.py": r'^__version__ = "(.+)"$',
                ".binder/requirements.txt": r"^benchbook==(.+)$",
            },
        ),
        (
            "torch",
            {
                "environment/setup.sh": r"^libtorch_version=(.+)$",
                "kernel/python/benchbook/libtorch.txt": r"^torch==([\d.]+)",
                "environment/hosted/Dockerfile": r"torch==([\d.]+)",
                "environment/hosted/job.py": r'^TORCH = "(.+)"$',
            },
        ),
        (
            "jupyterlab",
            {
                "environment/requirements.txt": r"^jupyterlab==([\d.]+)",
                "environment/hosted/Dockerfile": r"jupyterlab==([\d.]+)",
                ".binder/requirements.txt": r"^jupyterlab==([\d.]+)",
            },
        ),
        ("Rust", {"Cargo.toml": r'^rust-version = "(.+)"$', "rust-toolchain.toml": r'^channel = "(.+)\.0"$', **{f".github/workflows/{path.name}": r"\b(1\.\d\d)\.0\b" for path in WORKFLOWS}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_version_is_named_everywhere(what, places):
    versions = {name: found(name, pattern) for name, pattern in places.items()}
    assert len(set().union(*versions.values())) == 1 and all(versions.values()), (what, versions)


def test_a_release_builds_what_it_publishes():
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/release.yml").read_text())["jobs"]
    assert jobs["wheel"]["needs"] == "test"
    assert jobs["pypi"]["needs"] == "wheel"
    assert jobs["pypi"]["environment"] == "pypi"
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    command = next(step["run"] for step in jobs["wheel"]["steps"] if "environment/wheel" in step.get("run", ""))
    assert command == "environment/wheel"


def test_the_hooks_of_pre_commit_run_checks_of_the_repository():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checks = subprocess.run([REPOSITORY / "environment/test", "--check"], capture_output=True, text=True).stdout.split()
    for hook in hooks:
        command, option, *names = hook["entry"].split()
        assert (command, option) == ("environment/test", "--check") and names and set(names) <= set(checks), hook
    assert {name for hook in hooks for name in hook["entry"].split()[2:]} | {"environment"} == set(checks), "each check but the tests has a hook"
