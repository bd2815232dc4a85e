"""JupyterLab in a headless Chromium, worked as a person works it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from driver import PATIENCE, wait_until

INSTALL = "environment/test installs it where it may; by hand: sudo apt-get install -y chromium"


def chromium() -> str:
    """The system's Chromium; without one the test is skipped with the line that installs it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip(f"no Chromium: {INSTALL}")


@contextmanager
def jupyterlab(root: Path, folder: Path) -> Iterator[str]:
    """A JupyterLab of the environment's own, which neither knows the user's settings nor asks the
    network; the address to open. `root` holds the notebooks, `folder` everything else."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex()
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    command = [
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"),
        f"--ServerApp.root_dir={root}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        "--LabApp.news_url=",
        # The page's scripts can ask for the notebook itself, of which only what is on the screen is drawn.
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    log = folder / "jupyterlab.log"
    # Otherwise it asks whether it may fetch news.
    notification = folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    notification.parent.mkdir(parents=True)
    notification.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:

        def answers() -> bool:
            assert server.poll() is None, f"JupyterLab ended:\n{log.read_text()}"
            try:
                return httpx.get(f"http://127.0.0.1:{port}/api").is_success
            except httpx.TransportError:
                return False

        wait_until(answers, "JupyterLab to answer")
        yield f"http://127.0.0.1:{port}/lab?token={token}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


def is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname == "127.0.0.1"

