"""The steps for a machine with a GPU, in order of importance: each is a study, a job or a test program.

`pack` writes the list as JSON into the archive, with the studies and jobs that it names; `run.py` there uses only this
list. In miniature (`Scale.TINY`) the same steps run on a CPU: smaller nets and batches, the same libraries, precisions
and rounds.
"""

import enum
from dataclasses import dataclass, field
from typing import Any

PYTORCH, COMPILED, KERAS = "python-pytorch", "python-pytorch-compile", "python-keras-jax"
ALL = ["libtorch", PYTORCH, COMPILED, KERAS]
PAIR = ["libtorch", PYTORCH]
PRECISIONS = ("float32", "tf32", "bfloat16")
# Folders for the steps' output, in the unpacked archive.
RECORDS, PROFILES = "work/records", "work/profiles"
TITLE = "VGG16, torchvision's head, 224 x 224, batch 64, trainable"


class Scale(enum.Enum):
    """The size of the steps."""

    GPU = "cuda:0"
    TINY = "cpu"

    @property
    def device(self) -> str:
        return self.value

    def of(self, gpu: Any, tiny: Any) -> Any:
        """The value for this scale."""
        return gpu if self is Scale.GPU else tiny


@dataclass
class Step:
    """One step. It succeeds if each command exits with `status` and their combined output matches `says`."""

    id: str
    title: str
    # Time limit.
    seconds: int
    # Run concurrently. `{here}` is the unpacked archive, `{torch}` PyTorch's folder.
    commands: list[list[str]]
    status: list[int] = field(default_factory=lambda: [0])
    # Regular expressions.
    says: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    # A regular expression: as soon as the output matches, the commands get SIGINT.
    interrupt_after: str | None = None
    # A command that runs beside the others and ends with them.
    beside: list[str] | None = None
    # A study: the step runs only if an aim of this study was missed.
    if_missed: str | None = None


@dataclass
class Plan:
    """The steps, and the studies and jobs that they name, by file."""

    steps: list[Step] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)

    def study(self, id: str, title: str, seconds: int, backends: list[str], job: dict[str, Any], **options: Any) -> None:
        """Adds a study of three rounds, so that ratios have intervals; the first steps of each run are its warm-up. The option
        `round` runs one of the three rounds."""
        path = f"plans/{id}.json"
        settings = {"name": id, "backends": backends, "repeats": 3, "warm_up": 0, "retries": 0, "limit_seconds": 150}
        # On the CPU, which computes the reference values, a step of VGG16 in 64-bit floats takes seconds.
        settings |= {"check": {"steps": 3, "batch_size": 2}, "records": f"{RECORDS}/{id}.jsonl", "job": job}
        self.files[path] = settings | options
        self.steps.append(Step(id, title, seconds, [["{here}/benchbook-bench/study", path]]))

    def job(self, id: str, job: dict[str, Any]) -> list[str]:
        """Adds a job and returns the command that runs it."""
        path = f"plans/{id}.json"
        self.files[path] = job
        return ["{here}/benchbook-bench/bench", path, "--record", f"{RECORDS}/{id}.json"]


def compute(precision: str, **settings: Any) -> dict[str, Any]:
    """`benchbook_backend::Compute`: settings that all libraries support, as for `benchbook study --precision`."""
    tf32 = precision in ("tf32", "bfloat16", "float16")
    number = "float32" if precision == "tf32" else precision
    common = {"precision": number, "tf32_matmul": tf32, "tf32_convolutions": tf32, "cudnn_benchmark": True}
    return common | settings


def short(scale: Scale) -> str:
    """The fast precision: 16 bits on a GPU, 32 on a CPU."""
    return scale.of("bfloat16", "float32")


def vgg16(scale: Scale, head: str = "pytorch") -> dict[str, Any]:
    """The report's net. In miniature the small CNN, since the head alone has 120 million weights at any size."""
    return scale.of({"architecture": "vgg16", "head": head, "size": 224}, {"architecture": "small_cnn", "size": 32})


def job(scale: Scale, net: dict[str, Any], precision: str = "float32", **changes: Any) -> dict[str, Any]:
    """A training of some steps of 64 images, without validation."""
    settings = changes.pop("compute", {})
    batch = changes.pop("batch_size", 64)
    fit = {
        "epochs": 1,
        "steps_per_epoch": scale.of(20, 2),
        "batch_size": scale.of(batch, 4),
        "validate": False,
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "learning_rate": 0.001,
    }
    build = {"device": scale.device, "compute": compute(precision, **settings), "frozen": changes.pop("frozen", False)}
    return {"data": "data/drawings", "net": net, "build": build, "fit": fit | changes.pop("fit", {})} | changes


def plan(scale: Scale) -> Plan:
    """All steps."""
    plan = Plan()
    machine(plan, scale)
    agreement(plan, scale)
    configurations(plan, scale)
    profiles(plan, scale)
    variants(plan, scale)
    files(plan, scale)
    rounds(plan, scale)
    watched(plan, scale)
    trouble(plan, scale)
    notebooks(plan, scale)
    for step in plan.steps:
        # The limits are those of a GPU; the dry run may have to share two cores.
        step.seconds *= scale.of(1, 5)
    return plan


def machine(plan: Plan, scale: Scale) -> None:
    """The machine and its libraries."""
    doctor = ["{here}/benchbook", "doctor"]
    # Such a machine has no Rust and no Jupyter, so doctor exits with 1; only its line on the GPU matters.
    gpu = scale.of(r"(?m)^ok +GPU ", r"(?m)^absent +GPU ")
    plan.steps.append(Step("doctor", "what `benchbook doctor` says", 15, [doctor], status=[0, 1], says=[gpu]))
    libraries = ["{here}/benchbook-bench/libraries"]
    plan.steps.append(Step("libraries", "the libraries that studies find", 15, [libraries], says=["LibTorch"]))


def agreement(plan: Plan, scale: Scale) -> None:
    """Whether the GPU's results agree with those of the CPU and of Python's PyTorch."""
    tests = {
        "BENCHBOOK_TEST_DEVICE": scale.device,
        "BENCHBOOK_CONFORMANCE": "{here}/tests/conformance",
        "BENCHBOOK_LIBTORCH_LIB": "{torch}/lib",
        "LD_LIBRARY_PATH": "{torch}/lib:{here}/benchbook-bench/lib",
    }
    ran = [r"test result: ok\. [1-9]\d* passed; 0 failed"]
    words = ["{here}/tests/gpu", "--test-threads=1", "--nocapture"]
    title = "each operation against PyTorch's stored values; out of memory, checkpoints, memory on the device"
    plan.steps.append(Step("device-tests", title, 60, [words], says=ran, environment=tests))
    net = {"architecture": "vgg11", "head": "keras", "size": scale.of(64, 32), "batch_norm": False}
    for precision in ("float64", "float32"):
        # Compared with the libraries' results on the CPU in 64-bit floats, within the rounding of the GPU's floats.
        title = f"logits, gradients and 20 steps in {precision} against the processor and Python's PyTorch"
        exact = {"tf32_matmul": False, "tf32_convolutions": False, "cudnn_benchmark": False}
        asked = job(scale, net, precision, compute=exact, batch_size=8)
        steps = {"steps": 20, "run_steps": 20, "batch_size": scale.of(8, 4)}
        plan.study(f"agreement-{precision}", title, 60, PAIR, asked, check=steps, round=0)


def configurations(plan: Plan, scale: Scale) -> None:
    """Twelve configurations, one round of each, within the first ten minutes.

    Each limit is an estimate for four runs on an H100, never measured: 15 s for the reference values of the first two
    libraries, 10 and 15 s for their runs, 60 s for torch.compile, which compiles four graphs in each run, and 30 s for XLA.
    A study that does not finish in time resumes with the next call and keeps its completed runs.
    """
    for precision, limit in zip(PRECISIONS, (135, 125, 130), strict=True):
        check = {"steps": 3, "batch_size": 2, "settled_by": len(PAIR)}
        title = f"{TITLE}, {precision}, the first round"
        plan.study(f"vgg16-{precision}", title, limit, ALL, job(scale, vgg16(scale), precision), baseline=PYTORCH, check=check, round=0)


def rounds(plan: Plan, scale: Scale) -> None:
    """The two further rounds that intervals need. All four libraries compute the reference values on the CPU, which compiles
    twice more; without these values torch.compile and Keras have no ratios."""
    for precision in PRECISIONS:
        same = {"name": f"vgg16-{precision}", "records": f"{RECORDS}/vgg16-{precision}.jsonl", "baseline": PYTORCH}
        title = f"{TITLE}, {precision}, two more rounds"
        plan.study(f"vgg16-{precision}-rounds", title, 450, ALL, job(scale, vgg16(scale), precision), **same)


def profiles(plan: Plan, scale: Scale) -> None:
    """Profiles that show why a step is slower than its aim, or takes more memory."""
    for precision in PRECISIONS:
        backends = scale.of(["libtorch", PYTORCH, COMPILED], PAIR)
        profile(plan, scale, f"vgg16-{precision}", backends, job(scale, vgg16(scale), precision))


def profile(plan: Plan, scale: Scale, study: str, backends: list[str], job: dict[str, Any]) -> None:
    """Profiles ten steps of a study's job with PyTorch's profiler, if an aim of the study was missed; in miniature always."""
    id = f"profile-{study}"
    options = {"check": None, "round": 0, "profiles": f"{PROFILES}/{study}"}
    plan.study(id, f"kernels and operations of ten steps of {study}", 150, backends, job, **options)
    plan.steps[-1].if_missed = scale.of(study, None)


def variants(plan: Plan, scale: Scale) -> None:
    """Other settings of a training step."""
    rows = [
        ("keras-head", "the Keras head", job(scale, vgg16(scale, "keras"))),
        ("batch-32", "batch 32", job(scale, vgg16(scale), batch_size=32)),
        ("channels-last", "channels last, bfloat16", job(scale, vgg16(scale), short(scale), compute={"channels_last": True})),
        ("frozen", "the base frozen", job(scale, vgg16(scale), frozen=True)),
    ]
    for id, title, asked in rows:
        plan.study(id, title, 150, PAIR, asked)
    residual = scale.of({"architecture": "resnet50", "size": 224}, {"architecture": "resnet18", "size": 64})
    # Batch normalisation of two values amplifies rounding.
    plan.study("resnet50", "ResNet50", 150, PAIR, job(scale, residual), check={"steps": 3, "batch_size": 8})


def files(plan: Plan, scale: Scale) -> None:
    """Whole trainings from files: does the GPU wait for its input?"""
    whole = {"steps_per_epoch": None, "epochs": scale.of(5, 2), "validate": True}
    # A CPU has no page-locked memory.
    pinned = scale.of({"pinned_memory": True, "asynchronous_copies": True}, {})
    rows = [
        ("files", "end to end from files", {}, PAIR, {}),
        ("files-pinned", "the same with pinned memory and asynchronous copies", pinned, PAIR, {}),
        ("files-cached", "the same with decoded images in memory", pinned, ["libtorch"], {"cache": "Memory"}),
    ]
    for id, title, settings, backends, changes in rows:
        asked = job(scale, vgg16(scale), short(scale), compute=settings, fit=whole | changes, rates=True)
        plan.study(id, title, 200, backends, asked)
    # A profile's ten steps are within the first epoch, in which nothing is cached.
    for id, _, settings, backends, _ in rows[:2]:
        asked = job(scale, vgg16(scale), short(scale), compute=settings, fit=whole | {"epochs": 1})
        profile(plan, scale, id, backends, asked)


def watched(plan: Plan, scale: Scale) -> None:
    """Memory, utilisation, clocks and energy: records and `nvidia-smi` at the same time."""
    plan.study("nvml", "memory, clocks and energy of phases beside nvidia-smi", 120, ["libtorch"], job(scale, vgg16(scale), short(scale)))
    query = "--query-gpu=timestamp,memory.used,utilization.gpu,clocks.sm,power.draw"
    plan.steps[-1].beside = scale.of(["nvidia-smi", query, "--format=csv,noheader,nounits", "-lms", "100"], None)


def trouble(plan: Plan, scale: Scale) -> None:
    """Failures and interrupts that must be handled."""
    # The first convolution's output has 268 MB an image: 172 GB for all images of training, more than any GPU of 2026 has.
    # On the CPU, a memory limit is set instead.
    large = {"architecture": "vgg16", "size": 1024}
    asked = job(scale, large, fit={"batch_size": scale.of(640, 24), "steps_per_epoch": 1})
    words = plan.job("out-of-memory", asked)
    if scale is Scale.TINY:
        words = ["sh", "-c", 'ulimit -v 8000000 && exec "$@"', "sh", *words]
    told = scale.of("out of memory", "can't allocate memory")
    plan.steps.append(Step("out-of-memory", "a batch that does not fit", 90, [words], status=[1], says=[told]))

    long = job(scale, vgg16(scale), fit={"epochs": 200, "steps_per_epoch": 10})
    plan.study("interrupt", "an interrupt in a training", 60, ["libtorch"], long, check=None)
    plan.steps[-1].interrupt_after = "Epoch 2/"
    plan.steps[-1].status = [130]
    plan.steps[-1].says = ["the same command resumes the study"]

    both = [plan.job(f"together-{number}", job(scale, vgg16(scale))) for number in (1, 2)]
    plan.steps.append(Step("together", "two processes on one GPU", 120, both))


def notebooks(plan: Plan, scale: Scale) -> None:
    """The job of notebooks 2 and 4 at their scale `report`, in a terminal."""
    net = vgg16(scale) | ({"batch_norm": True} if scale is Scale.GPU else {})
    fit = {"steps_per_epoch": scale.of(None, 2), "epochs": scale.of(3, 1), "validate": True, "batch_size": scale.of(32, 4)}
    adam = {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "convention": "pytorch"}
    fit |= {"optimizer": adam, "learning_rate": 1e-4, "seed": 1}
    asked = {"name": "notebooks 2 and 4, report", "data": "data/drawings", "net": net}
    asked |= {"build": {"device": scale.device, "seed": 1}, "fit": fit, "rates": True}
    words = plan.job("notebooks", asked)
    plan.steps.append(Step("notebooks", "the job of notebooks 2 and 4 at scale report", 300, [words]))
