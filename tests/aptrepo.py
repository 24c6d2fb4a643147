"""A small signed apt repository with the layout of Docker's, for tests of `docker_channel: docker-ce`.

Layout, key and package names: https://docs.docker.com/engine/install/debian/ ("Install using the apt
repository", "Install from a package") and its Ubuntu twin. Below the root, as below docker_apt_url:

    debian/gpg                                            the armored public key
    debian/dists/bookworm/InRelease                       signed; Release and Release.gpg are left out
    debian/dists/bookworm/stable/binary-amd64/Packages
    debian/dists/bookworm/pool/stable/amd64/docker-ce_….deb
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
SUITES = {"debian": ("bookworm", "trixie"), "ubuntu": ("jammy", "noble")}


def build(root: Path, suites: Mapping[str, Sequence[str]] = SUITES) -> str:
    """Fill `root` with a repository for each distribution → suites; return the key's fingerprint.

    The key is made for this call and its private half is gone afterwards, so what was built cannot be
    changed and signed again. The packages hold one text file each and depend on nothing. Needs gpg and
    dpkg-deb; raises CalledProcessError with their output.
    """
    architecture = _run("dpkg", "--print-architecture").strip()
    # A short path of its own: the agent's socket has to fit into 108 characters (unix(7)).
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:
        gpg = partial(_run, "gpg", "--batch", "--no-tty", "--homedir", home)
        try:
            gpg("--passphrase", "", "--quick-generate-key", "Stand-in for tests", "ed25519", "sign", "1d")
            listing = gpg("--with-colons", "--list-keys")
            fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
            for distribution, names in suites.items():
                for suite in names:
                    folder = root / distribution / "dists" / suite
                    _add_packages(root / distribution, suite, architecture)
                    _write_release(folder, suite, architecture)
                    gpg("--clearsign", "--output", str(folder / "InRelease"), str(folder / "Release"))
                    (folder / "Release").unlink()
                (root / distribution / "gpg").write_text(gpg("--armor", "--export", fingerprint))
        finally:
            _run("gpgconf", "--homedir", home, "--kill", "gpg-agent")
    return fingerprint


@contextmanager
def serve(root: Path) -> Iterator[str]:
    """Serve `root` on a free port of the loopback address; yields the URL to give as docker_apt_url."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a test's output is the test's."""


def _add_packages(root: Path, suite: str, architecture: str) -> None:
    """Build the packages of one suite and their index."""
    pool = root / "dists" / suite / "pool" / "stable" / architecture
    pool.mkdir(parents=True)
    stanzas = []
    for name in PACKAGES:
        control = (
            f"Package: {name}\nVersion: 5:0~standin1~{suite}\nArchitecture: {architecture}\n"
            "Maintainer: hubrun tests <nobody@example.org>\nSection: admin\nPriority: optional\n"
            f"Description: empty stand-in for {name}\n Made by a test. It holds no program.\n"
        )
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / name
            readme = tree / "usr/share/doc" / name / "README"
            (tree / "DEBIAN").mkdir(parents=True)
            (tree / "DEBIAN/control").write_text(control)
            readme.parent.mkdir(parents=True)
            readme.write_text(f"A stand-in for {name}, made by a test. It holds no program.\n")
            deb = pool / f"{name}_0~standin1~{suite}_{architecture}.deb"
            _run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(deb))
        content = deb.read_bytes()
        stanzas.append(
            f"{control}Filename: {deb.relative_to(root)}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    index = root / "dists" / suite / "stable" / f"binary-{architecture}" / "Packages"
    index.parent.mkdir(parents=True)
    index.write_text("\n".join(stanzas))


def _write_release(folder: Path, suite: str, architecture: str) -> None:
    """Write the file that is signed (Debian wiki, DebianRepository/Format)."""
    index = folder / "stable" / f"binary-{architecture}" / "Packages"
    content = index.read_bytes()
    (folder / "Release").write_text(
        f"Origin: Stand-in\nLabel: Stand-in for tests\nSuite: {suite}\nCodename: {suite}\n"
        f"Architectures: {architecture}\nComponents: stable\nDate: {formatdate(usegmt=True)}\n"
        f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} {index.relative_to(folder)}\n"
    )


def _run(*command: str) -> str:
    """Run a command; return what it printed."""
    # The C locale: a colon listing is for programs, but error texts end up in a test's report.
    done = subprocess.run(
        command, env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command[0], done.stdout, done.stderr)
    return done.stdout
