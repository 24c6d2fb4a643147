"""What the students' image is built from: the files of the build context, the arguments, and their digest.

Pure: reads the project's own files, talks to no engine. The Dockerfile is `Dockerfile.singleuser` at the
project's top, and the context has the project's layout, so that the same file also builds by hand.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from packaging.requirements import InvalidRequirement, Requirement

from hubrun.environment import PROJECT
from hubrun.errors import BadInput, HubrunError

DOCKERFILE = "Dockerfile.singleuser"
REQUIREMENTS = "lib/hubrun/sections/hub/requirements"
# Code of ours in the image, and what of the hub's it uses.
STUDENT_CODE = "lib/hubrun_student"
SHARED = ("lib/hubrun_hub/__init__.py", "lib/hubrun_hub/pull_ticket.py")
_SUFFIXES = (".py", ".json", ".html", ".j2", ".tpl")
# An image carries the digest of what it was built from; the same digest needs no new build.
LABEL = "hubrun.context"


@dataclass(frozen=True)
class ImageChoices:
    """What a site chooses; the names are those of its parameters. `ca_certificates` are PEM texts."""

    base_image: str
    nbgrader: bool = True
    nbgitpuller: bool = True
    jupyterlab_git: bool = True
    tensorflow: bool = False
    pytorch: Literal["none", "cpu", "cuda"] = "none"
    extra_pip_packages: tuple[str, ...] = ()
    ca_certificates: tuple[str, ...] = ()


def build_context(choices: ImageChoices) -> dict[str, bytes]:
    """Return path → content of each file of the build context; `docker build` there needs no `-f`.

    Raises BadInput for an extra package or a certificate that cannot be right, HubrunError when a file of
    the project is missing.
    """
    files = {"Dockerfile": _read(DOCKERFILE)}
    for name in ("uv.txt", "science.txt", "singleuser.txt"):
        files[f"{REQUIREMENTS}/{name}"] = _read(f"{REQUIREMENTS}/{name}")
    for path in sorted((PROJECT / STUDENT_CODE).rglob("*")):
        if path.suffix in _SUFFIXES:
            name = path.relative_to(PROJECT).as_posix()
            files[name] = _read(name)
    files |= {name: _read(name) for name in SHARED}
    if choices.extra_pip_packages:
        lines = [f"{_requirement(package)}\n" for package in choices.extra_pip_packages]
        files["extra-packages.txt"] = "".join(lines).encode()
    for pem in choices.ca_certificates:
        for certificate in _certificates(pem):
            name = certificate.fingerprint(hashes.SHA256()).hex()[:16]
            files[f"ca-certificates/{name}.crt"] = certificate.public_bytes(Encoding.PEM)
    return files


def build_args(choices: ImageChoices) -> dict[str, str]:
    """Return the values of the Dockerfile's arguments."""
    return {
        "BASE_IMAGE": choices.base_image,
        "NBGRADER": _word(choices.nbgrader),
        "NBGITPULLER": _word(choices.nbgitpuller),
        "JUPYTERLAB_GIT": _word(choices.jupyterlab_git),
        "TENSORFLOW": _word(choices.tensorflow),
        "PYTORCH": choices.pytorch,
    }


def context_digest(choices: ImageChoices) -> str:
    """Return the SHA-256 (hexadecimal) of all that decides the image: files and arguments.

    The base image counts by its name: a tag that moves (`latest`) is not noticed. Errors: build_context's.
    """
    digest = hashlib.sha256()
    inputs = build_context(choices) | {f"--{name}": value.encode() for name, value in build_args(choices).items()}
    for name, content in sorted(inputs.items()):
        # Lengths, so that no two different sets of inputs read the same.
        digest.update(f"{len(name)} {name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _read(path: str) -> bytes:
    try:
        return (PROJECT / path).read_bytes()
    except FileNotFoundError:
        raise HubrunError(
            "this file of the project is missing", path, "The image is built from a checkout; restore the file."
        ) from None


def _word(choice: bool) -> str:
    return "true" if choice else "false"


def _requirement(package: str) -> Requirement:
    """Check one requirement (PEP 508). Options of pip and files are refused: they name other package indexes."""
    try:
        return Requirement(package)
    except InvalidRequirement as error:
        raise BadInput(
            f"{package!r} is not a pip requirement",
            "extra_pip_packages",
            'Write each as a name with an optional version, such as "pandas>=2,<3"; options are not allowed.',
            str(error),
        ) from None


def _certificates(pem: str) -> list[x509.Certificate]:
    """Read each certificate of a PEM text: update-ca-certificates(8) wants one a file, and nothing else in it."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise BadInput("no certificate in PEM form", "ca_certificates", "Give PEM files.", str(error)) from None
