"""Servers on this machine for the tests: files over HTTP, a Rust distribution of the installed toolchain, a package index."""

import base64
import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Server:
    """Serves a folder. `redirects` maps paths to places; the first answer to a path in `stalls` stops half way."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.requests: list[tuple[str, str | None]] = []
        self.redirects: dict[str, str] = {}
        self.stalls: set[str] = set()
        self.stalled = threading.Event()
        self.goes_on = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"files": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.goes_on.set()
        self.http.shutdown()
        self.http.server_close()

    def asked(self, part: str) -> list[tuple[str, str | None]]:
        """The requests, path and Range, whose path contains `part`."""
        return [request for request in self.requests if part in request[0]]


class Handler(BaseHTTPRequestHandler):
    files: Server

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        self.files.requests.append((path, self.headers["Range"]))
        if to := self.files.redirects.get(path):
            self.send_response(302)
            self.send_header("Location", to)
            self.end_headers()
            return
        file = self.files.folder / path.lstrip("/")
        if file.is_dir():
            file = file / "index.html"
        if not file.is_file():
            self.send_error(404)
            return
        size = file.stat().st_size
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        self.send_header("Content-Type", "text/html" if file.suffix == ".html" else "application/octet-stream")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        with file.open("rb") as source:
            source.seek(start)
            try:
                if path in self.files.stalls:
                    self.files.stalls.remove(path)
                    self.wfile.write(source.read(size // 2))
                    self.files.stalled.set()
                    self.files.goes_on.wait()
                shutil.copyfileobj(source, self.wfile, 1 << 20)
            except ConnectionError:
                pass

    def log_message(self, *_):
        pass


def ask(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


class RustDistribution:
    """A folder as a RUSTUP_DIST_SERVER serves it, made of the installed toolchain: rust-installer's archives, a channel."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.sysroot = Path(ask("rustc", "--print", "sysroot"))
        lines = dict(line.split(": ", 1) for line in ask("rustc", "-vV").splitlines() if ": " in line)
        self.version, self.triple = lines["release"], lines["host"]
        self.archives: dict[str, Path] = {}
        channel = ['manifest-version = "2"', 'date = "2026-04-16"', *self.rust()]
        for package, target in [("rustc", self.triple), ("rust-std", self.triple), ("cargo", self.triple), ("rust-src", "*")]:
            channel += self.package(package, target)
        channel += ["[profiles]", 'minimal = ["rustc", "cargo", "rust-std"]']
        self.channel = folder / "dist" / f"channel-rust-{self.version}.toml"
        publish(self.channel, "\n".join(channel).encode())

    def rust(self) -> list[str]:
        lines = ["[pkg.rust]", f'version = "{self.version}"', f"[pkg.rust.target.{self.triple}]", "available = true", 'url = ""', 'hash = ""']
        for kind, packages in [("components", ["rustc", "rust-std", "cargo"]), ("extensions", ["rust-src"])]:
            for package in packages:
                target = "*" if package == "rust-src" else self.triple
                lines += [f"[[pkg.rust.target.{self.triple}.{kind}]]", f'pkg = "{package}"', f'target = "{target}"']
        return lines

    def package(self, package: str, target: str) -> list[str]:
        component = package if target == "*" else f"{package}-{target}"
        name = f"{package}-{self.version}" if target == "*" else f"{package}-{self.version}-{target}"
        archive = self.archives[package] = self.folder / "dist" / f"{name}.tar.gz"
        archive.parent.mkdir(parents=True, exist_ok=True)
        manifest = (self.sysroot / "lib/rustlib" / f"manifest-{component}").read_text()
        # Stored, not compressed: the files are read once, on this machine.
        with gzip.open(archive, "wb", compresslevel=0) as sink, tarfile.open(fileobj=sink, mode="w") as tar:
            for path, text in [("rust-installer-version", "3\n"), ("components", f"{component}\n"), (f"{component}/manifest.in", manifest)]:
                info = tarfile.TarInfo(f"{name}/{path}")
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
            for line in manifest.splitlines():
                path = line.partition(":")[2]
                tar.add(self.sysroot / path, f"{name}/{component}/{path}")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        # rustup puts its RUSTUP_DIST_SERVER in the place of Rust's own.
        url = f"https://static.rust-lang.org/dist/{archive.name}"
        section = f'[pkg.{package}.target."{target}"]'
        return [f"[pkg.{package}]", f'version = "{self.version}"', section, "available = true", f'url = "{url}"', f'hash = "{digest}"']


def publish(file: Path, content: bytes) -> None:
    """A file with its checksum beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.with_name(file.name + ".sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {file.name}\n")


class PackageIndex:
    """A folder as PyPI serves it, under /simple."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> str:
        """Adds a wheel for every platform; returns the line that pins it."""
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        metadata = "".join(f"{line}\n" for line in ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {other}" for other in requires)])
        files = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
        record = [f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text.encode())}" for path, text in files.items()]
        files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
        project = self.folder / "simple" / name
        project.mkdir(parents=True, exist_ok=True)
        wheel = project / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        (project / "index.html").write_text(f'<!DOCTYPE html><a href="{wheel.name}">{wheel.name}</a>')
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
