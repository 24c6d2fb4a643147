"""What the students' image is built from: the files of the build context, and the arguments.

Pure: reads the project's own files, talks to no engine. The Dockerfile is `Dockerfile.singleuser` at the
project's top, and the context has the project's layout, so that the same file also builds by hand.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from packaging.requirements import Requirement

from hubrun.environment import PROJECT
from hubrun.errors import BadInput, HubrunError
from hubrun.params import Site

DOCKERFILE = "Dockerfile.singleuser"
REQUIREMENTS = "lib/hubrun/sections/hub/requirements"
# Code of ours in the image, and what of the hub's it uses.
STUDENT_CODE = "lib/hubrun_student"
SHARED = ("lib/hubrun_hub/__init__.py", "lib/hubrun_hub/pull_ticket.py")
_SUFFIXES = (".py", ".json", ".js", ".html", ".j2", ".tpl")


def build_context(site: Site) -> dict[str, bytes]:
    """Path → content of each file of the build context; `docker build` there needs no `-f`.

    Raises BadInput for a certificate that cannot be right, HubrunError when a file of the project is missing.
    """
    files = {"Dockerfile": _read(DOCKERFILE)}
    for name in ("uv.txt", "science.txt", "singleuser.txt"):
        files[f"{REQUIREMENTS}/{name}"] = _read(f"{REQUIREMENTS}/{name}")
    for path in sorted((PROJECT / STUDENT_CODE).rglob("*")):
        if path.suffix in _SUFFIXES:
            name = path.relative_to(PROJECT).as_posix()
            files[name] = _read(name)
    files |= {name: _read(name) for name in SHARED}
    if site.extra_pip_packages:
        lines = [f"{Requirement(package)}\n" for package in site.extra_pip_packages]
        files["extra-packages.txt"] = "".join(lines).encode()
    for pem in site.ca_pems():
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
        except ValueError as error:
            raise BadInput("no certificate in PEM form", "ca_certificates", "Give PEM files.", str(error)) from None
        name = certificate.fingerprint(hashes.SHA256()).hex()[:16]
        files[f"ca-certificates/{name}.crt"] = certificate.public_bytes(Encoding.PEM)
    return files


def build_args(site: Site) -> dict[str, str]:
    """The values of the Dockerfile's arguments."""
    return {
        "BASE_IMAGE": site.base_image,
        "NBGRADER": _word(site.nbgrader),
        "NBGITPULLER": _word(site.nbgitpuller),
        "JUPYTERLAB_GIT": _word(site.jupyterlab_git),
        "TENSORFLOW": _word(site.tensorflow),
        "PYTORCH": site.pytorch,
    }


def _word(choice: bool) -> str:
    return "true" if choice else "false"


def _read(path: str) -> bytes:
    try:
        return (PROJECT / path).read_bytes()
    except FileNotFoundError:
        raise HubrunError(
            "this file of the project is missing", path, "The image is built from a checkout; restore the file."
        ) from None
