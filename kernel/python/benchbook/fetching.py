"""Errors, downloads and subprocesses for fetching a toolchain and libtorch."""

import hashlib
import http.client
import ipaddress
import os
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit


class SetupError(Exception):
    """An error that the user can fix: what is wrong, where, what to do."""


def run(words: list, failure: str, **variables: str | None) -> None:
    """Runs a program that reports to the terminal itself; a variable that is `None` is unset.

    Raises `SetupError(failure)` if the program fails.
    """
    environment = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
    if subprocess.run(words, env=environment, stdin=subprocess.DEVNULL).returncode != 0:
        raise SetupError(failure)


def download(url: str) -> bytes:
    """Downloads a file and checks it against the SHA-256 published as `URL.sha256`."""
    expected = get(f"{url}.sha256").decode().split()[:1]
    content = get(url)
    found = hashlib.sha256(content).hexdigest()
    if [found] != expected:
        raise SetupError(f"{url} is damaged: its SHA-256 is {found}, expected {''.join(expected) or 'none'}; start the command again")
    return content


def get(url: str) -> bytes:
    if not is_secure(url):
        raise SetupError(f"{url} must begin with https: programs are downloaded over https only")
    name = url.rpartition("/")[2]
    content = bytearray()
    try:
        with urllib.request.build_opener(SecureRedirects).open(url, timeout=60) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 20):
                content += chunk
                if sys.stdout.isatty():
                    print(f"\r  {name}: {len(content) / 1e6:.0f} of {total / 1e6:.0f} MB", end="", flush=True)
    except urllib.error.HTTPError as error:
        raise SetupError(f"{error.url} answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise SetupError(f"{url} cannot be reached ({error.reason}); check the network and https_proxy") from None
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise SetupError(f"the download of {url} was interrupted ({error}); start the command again") from None
    if sys.stdout.isatty():
        print()
    return bytes(content)


def host(url: str) -> str:
    """Host and port, without a password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_secure(url: str) -> bool:
    """https, or http on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not is_secure(newurl) or (req.type == "https" and urlsplit(newurl).scheme != "https"):
            raise SetupError(f"{req.full_url} redirects to {newurl}, which must begin with https: programs are downloaded over https only")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
