"""Finds the kernel's server, the Rust program `benchbook`, and its command line.

The kernelspec contains its path, so an installed wheel and a checkout are found in the same way: first the kernelspec
of the running Python's environment, then the first one that Jupyter finds.
"""

import os
import site
import sys
import sysconfig
from pathlib import Path

NAME = "benchbook"


class NotInstalled(Exception):
    """Jupyter knows no kernelspec `benchbook`."""


def kernelspec():
    """The kernelspec, as `jupyter_client.kernelspec.KernelSpec`.

    Raises `NotInstalled` with instructions.
    """
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

    for folder in own_folders():
        if (folder / "kernel.json").is_file():
            return KernelSpec.from_resource_dir(str(folder))
    try:
        return KernelSpecManager().get_kernel_spec(NAME)
    except NoSuchKernel:
        raise NotInstalled(
            f"Jupyter knows no kernel `{NAME}` in {sys.prefix}: "
            "install the wheel with this Python (`python -m pip install benchbook-*.whl`), "
            "or run `environment/run` in a checkout"
        ) from None


def own_folders() -> list[Path]:
    """Folders for this installation's kernelspec: in the running Python's environment, or in the user's."""
    paths = [sysconfig.get_path("data")]
    if site.ENABLE_USER_SITE:
        paths.append(sysconfig.get_path("data", sysconfig.get_preferred_scheme("user")))
    # `pip install --target FOLDER` puts data beside the package.
    paths.append(str(Path(__file__).resolve().parent.parent))
    return [Path(path, "share", "jupyter", "kernels", NAME) for path in paths]


def command() -> list[str]:
    """The server's command line, without `--connection-file` and the arguments after it."""
    spec = kernelspec()
    words = [word.replace("{resource_dir}", spec.resource_dir) for word in spec.argv]
    end = words.index("--connection-file") if "--connection-file" in words else len(words)
    return [os.path.normpath(words[0]), *words[1:end]]


def program() -> Path:
    """The server's executable: BENCHBOOK_SERVER, else the kernelspec's."""
    if named := os.environ.get("BENCHBOOK_SERVER"):
        return Path(named)
    return Path(command()[0])


def environment() -> dict[str, str]:
    """The server's environment: this process's variables, and the running Python's package folders."""
    folders = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return {
        **os.environ,
        "BENCHBOOK_PYTHON": sys.executable,
        "BENCHBOOK_SITE_PACKAGES": os.pathsep.join(folders),
    }
