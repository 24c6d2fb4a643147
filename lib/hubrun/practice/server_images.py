"""The images of a practice server: base, server, services beside it, stand-in notebook image."""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from hubrun.errors import HubrunError
from hubrun.practice import machine
from hubrun.practice.docker_engine import Engine, Say, install_packages

RELEASES = {"debian-12": "bookworm", "debian-13": "trixie"}
TEMPLATES = Path(__file__).parent / "images"
LABEL = "hubrun.practice.image"
REGISTRY_ANSWERS_WITHIN = 5  # seconds; a registry that cannot be reached often hangs instead of refusing
PULL_LIMIT = 300
BUILD_LIMIT = 900
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
PASSED_ON = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", *_PROXIES, *(name.upper() for name in _PROXIES))


class Images:
    """Names of one system's images, each made when it is first asked for.

    A name ends with a digest of everything that the image is made from, so a changed template is a new image.
    """

    def __init__(self, engine: Engine, os_name: str, say: Say) -> None:
        self.engine = engine
        self.release = RELEASES[os_name]
        self.os_name = os_name
        self.say = say
        self.certificates = machine.certificates()
        self.mirror = machine.mirror()
        self.proxies = machine.proxies()
        self.apt = machine.apt_files(self.release, self.mirror, self.proxies, self.certificates)
        digest = hashlib.sha256(repr(sorted(self.apt.items())).encode())
        for path in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
            digest.update(path.relative_to(TEMPLATES).as_posix().encode() + b"\0" + path.read_bytes())
        self.digest = digest.hexdigest()[:10]

    def name(self, kind: str) -> str:
        """The name and tag of image `kind`; the tag changes with what the image is made from."""
        return f"hubrun-practice/{kind}:{self.os_name}-{self.digest}"

    def missing(self, kind: str) -> bool:
        """Whether image `kind` is still to be built."""
        return self.engine.inspect("image", self.name(kind)) is None

    def build(self, kind: str) -> str:
        """Return the name of image `kind` (base, server, services, notebook), building what is missing."""
        name = self.name(kind)
        if not self.missing(kind):
            return name
        base = self._root() if kind == "base" else self.build("base")
        argument = "ROOT" if kind == "base" else "BASE"
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="hubrun-") as folder:
            context = Path(folder) / "context"
            shutil.copytree(TEMPLATES, context)
            for path, text in self.apt.items():
                target = context / "apt" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            (context / "ca").mkdir()
            for number, pem in enumerate(self.certificates):
                (context / "ca" / f"{number}.crt").write_text(pem)
            arguments = [f"--build-arg={argument}={base}"]
            # By name alone: the client reads the value, which may hold a password, from its environment.
            arguments += [f"--build-arg={key}" for key in PASSED_ON if key in os.environ]
            self.engine.run(
                "build", "-q", "-t", name, "-f", str(context / f"{kind}.Dockerfile"), *arguments, str(context),
                timeout=BUILD_LIMIT,
            )  # fmt: skip
        if kind != "base":
            self.say(f"image {kind} built in {time.monotonic() - start:.0f} s")
        return name

    def _root(self) -> str:
        """A bare Debian: the local image, the registry's, or one made here from the package mirror."""
        public = f"debian:{self.release}"
        if self.engine.inspect("image", public):
            return public
        ours = f"hubrun-practice/root:{self.os_name}"
        if self.engine.inspect("image", ours):
            return ours
        self.say(f"asking the image registry for {public} (for at most {REGISTRY_ANSWERS_WITHIN} s)")
        if pull(self.engine, public):
            self.engine.run("tag", public, ours)
            self.engine.run("image", "rm", "--no-prune", public)
            return ours
        self.say(f"none answers: making {self.os_name} from the package mirror with mmdebstrap (about 20 s)")
        self._bootstrap(ours)
        return ours

    def _bootstrap(self, name: str) -> None:
        if shutil.which("mmdebstrap") is None or not Path(machine.KEYRING).exists():
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                raise HubrunError(
                    f"no image registry answers, and mmdebstrap is not here to make {self.os_name} with",
                    "practice server",
                    "Run: sudo apt-get install mmdebstrap debian-archive-keyring",
                )
            install_packages("mmdebstrap", "debian-archive-keyring")
        options = ["--variant=minbase", "--include=ca-certificates", "--dpkgopt=force-unsafe-io"]
        options += ['--aptopt=Acquire::Languages "none"']
        options += [f'--aptopt=Acquire::{scheme}::Proxy "{via}"' for scheme, via in self.proxies.items()]
        # What only speeds up the making must not stay in the server.
        clean = 'rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap'
        with tempfile.TemporaryDirectory(prefix="hubrun-") as folder:
            tar = Path(folder) / "root.tar"
            done = subprocess.run(
                [
                    "mmdebstrap",
                    *options,
                    f"--customize-hook={clean}",
                    self.release,
                    str(tar),
                    *(["-"] if self.mirror.main else []),
                ],
                input=self.mirror.sources(self.release) if self.mirror.main else "",
                capture_output=True,
                text=True,
                timeout=BUILD_LIMIT,
                check=False,
            )
            if done.returncode:
                errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
                raise HubrunError(
                    errors[-1] if errors else "mmdebstrap failed",
                    f"mmdebstrap {self.release}",
                    f"Is the package mirror {self.mirror.main or 'of Debian'} reachable?",
                    done.stderr,
                )
            self.engine.run("import", "--change", f"LABEL {LABEL}=root", str(tar), name, timeout=PULL_LIMIT)


def pull(engine: Engine, image: str) -> bool:
    """Pull an image from its registry; False when none answers within REGISTRY_ANSWERS_WITHIN seconds."""
    command = [engine.client, "pull", image]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            # The first line ("bookworm: Pulling from …") comes when the registry has answered.
            if waiting.select(REGISTRY_ANSWERS_WITHIN) and process.stdout.read1(1):  # type: ignore[attr-defined]
                process.communicate(timeout=PULL_LIMIT)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            if process.poll() is None:
                process.kill()
        process.wait()
        process.stdout.close()
    return process.returncode == 0
