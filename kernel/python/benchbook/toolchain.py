"""Fetches a Rust toolchain into the cache by rustup. The user's own rustup, toolchains and shell profiles do not change."""

import os
import shutil
from pathlib import Path

from benchbook.fetching import SetupError, download, host, run


def install(cache: Path, version: str, triple: str) -> None:
    """Installs `<cache>/rust/rustup/toolchains/VERSION-TRIPLE`, completely or not at all.

    rustup installs into a separate RUSTUP_HOME, from which the finished toolchain is moved. Downloads of an interrupted
    run stay there and are reused.
    """
    name = f"{version}-{triple}"
    partial = cache / "rust" / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    for left in partial.iterdir():
        if left.name != "downloads":
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    variables = {
        "RUSTUP_HOME": str(partial),
        "CARGO_HOME": str(cache / "rust" / "cargo"),
        "RUSTUP_INIT_SKIP_PATH_CHECK": "yes",
    }
    rustup = shutil.which("rustup") or fetch_rustup(partial, cache / "rust" / "cargo", triple, variables)
    run(
        [rustup, "toolchain", "install", name, "--profile", "minimal", "--component", "rust-src", "--no-self-update"],
        f"rustup could not install Rust {version} from {source()}; its messages are above",
        **variables,
    )
    toolchain = cache / "rust" / "rustup" / "toolchains" / name
    toolchain.parent.mkdir(parents=True, exist_ok=True)
    # Replace an unusable toolchain.
    shutil.rmtree(toolchain, ignore_errors=True)
    os.rename(partial / "toolchains" / name, toolchain)
    shutil.rmtree(partial)


def source() -> str:
    return host(os.environ.get("RUSTUP_DIST_SERVER") or "https://static.rust-lang.org")


def fetch_rustup(folder: Path, cargo_home: Path, triple: str, variables: dict[str, str]) -> Path:
    """Downloads rustup's installer and installs only rustup into `cargo_home`."""
    root = os.environ.get("RUSTUP_UPDATE_ROOT") or "https://static.rust-lang.org/rustup"
    try:
        content = download(f"{root}/dist/{triple}/rustup-init")
    except SetupError as error:
        raise SetupError(
            f"rustup could not be downloaded: {error}; put a rustup on PATH (https://rustup.rs) or set "
            "RUSTUP_UPDATE_ROOT to a mirror"
        ) from None
    installer = folder / "rustup-init"
    installer.write_bytes(content)
    installer.chmod(0o755)
    run(
        [installer, "-y", "--no-modify-path", "--default-toolchain", "none"],
        f"rustup could not be installed into {cargo_home}; its messages are above",
        **variables,
    )
    return cargo_home / "bin" / "rustup"
