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
from typing import Any
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


@contextmanager
def opened(notebook: Path, root: Path) -> Iterator[Any]:
    """The page of a notebook below `root`; fails if anything but JupyterLab itself was asked for anything."""
    sync_api = pytest.importorskip(
        "playwright.sync_api",
        reason="no Playwright: .venv/bin/python -m pip install -r environment/requirements-browser.txt",
    )
    program = chromium()
    # The driver of the browser is a program with a temporary folder of its own.
    foreign: list[str] = []
    with jupyterlab(root, root / "jupyter") as address, sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",  # Root has no sandbox, and only our own page is opened.
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.set_default_timeout(PATIENCE * 1000)
        page.on("request", lambda asked: foreign.append(asked.url) if not is_local(asked.url) else None)
        page.goto(address.replace("/lab?", f"/lab/tree/{notebook.relative_to(root)}?"))
        yield page
        browser.close()
    assert foreign == [], "JupyterLab asked the network"


# The open notebook, also what has scrolled away: JupyterLab takes that out of the page.
MODEL = "jupyterapp.shell.currentWidget.content.model"


class Notebook:
    """The open notebook: its cells, which have numbers from 0, and what they show."""

    def __init__(self, page: Any, screenshots: Path) -> None:
        self.page = page
        self.screenshots = screenshots
        screenshots.mkdir(parents=True, exist_ok=True)
        for old in screenshots.glob("*.png"):
            old.unlink()
        self.taken = 0

    def screenshot(self, name: str) -> None:
        self.taken += 1
        self.page.screenshot(path=self.screenshots / f"{self.taken:02}-{name}.png")

    def cells(self) -> list[dict[str, Any]]:
        """All cells as they would be saved now."""
        return self.page.evaluate(f"() => {MODEL}.toJSON().cells")

    def cell(self, text: str) -> int:
        """The code cell that contains `text`, the last such one."""
        sources = [
            "".join(cell["source"]) if cell["cell_type"] == "code" else "" for cell in self.cells()
        ]
        return max(number for number, source in enumerate(sources) if text in source)

    def outputs(self, cell: int, kind: str) -> list[dict[str, Any]]:
        """The outputs of a cell that have this type."""
        return [output for output in self.cells()[cell]["outputs"] if output["output_type"] == kind]

    def result(self, cell: int) -> str:
        (result,) = self.outputs(cell, "execute_result")
        return "".join(result["data"]["text/plain"])

    def has_ended(self, cell: int) -> bool:
        """Whether the cell has a number, which it gets when it has ended."""
        return self.cells()[cell]["execution_count"] is not None

    def wait_for_end(self, cell: int) -> None:
        self.page.wait_for_function(
            f"cell => {MODEL}.toJSON().cells[cell].execution_count !== null", arg=cell
        )

    def show(self, cell: int) -> None:
        """Scrolls to a cell; what is far away is not in the page."""
        self.page.evaluate(
            "cell => jupyterapp.shell.currentWidget.content.scrollToItem(cell, 'center')", cell
        )

    def wait_for_another_curve(self, cell: int, seen: list[str]) -> str:
        """Waits until the chart that is drawn in the page has lines that were not seen yet; returns them."""
        self.show(cell)
        return self.page.wait_for_function(
            """([cell, seen]) => {
                const drawn = document.querySelector(`.jp-Cell[data-windowed-list-index="${cell}"]`);
                const lines = drawn?.querySelectorAll('.jp-OutputArea-output svg :is(polyline, circle)') ?? [];
                const points = [...lines].map(line => line.getAttribute('points') ?? line.getAttribute('cy'));
                return points.length > 0 && !seen.includes(points.join('; ')) && points.join('; ');
            }""",
            arg=[cell, seen],
        ).json_value()

    def append(self, code: str) -> int:
        """Adds a cell at the end, types into it and runs it; returns its number."""
        last = len(self.cells()) - 1
        self.show(last)
        cell = self.page.locator(f'.jp-Cell[data-windowed-list-index="{last}"]')
        cell.locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        self.page.keyboard.press("Enter")
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Control+Enter")
        return self.cell(code)


def choose_kernel(page: Any, name: str) -> None:
    """Answers JupyterLab's question for a kernel, and waits for it: cells that are run before are forgotten."""
    dialog = page.locator(".jp-Dialog")
    dialog.get_by_text("Select Kernel").first.wait_for()
    dialog.locator("select").select_option(label=name)
    dialog.get_by_role("button", name="Select").click()
    page.get_by_text(f"{name} | Idle").wait_for()
