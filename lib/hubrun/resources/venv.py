"""A Python virtual environment on the server, from pins with hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

_PROBE = """
path={}
echo "python=$(/usr/bin/python3 -V | sed -E 's/^Python ([0-9]+[.][0-9]+).*/\\1/')"
echo "venv=$(sed -n 's/^version = \\([0-9]*\\.[0-9]*\\).*/\\1/p' "$path/pyvenv.cfg")"
"$path/bin/python" -V > /dev/null 2>&1 || echo venv=broken
for info in "$path"/lib/python3*/site-packages/*.dist-info; do
    [ -f "$info/RECORD" ] && basename "$info" .dist-info
done
"""
# The server's own list of CAs, which holds the site's ca_certificates too; pip and uv bring lists of their own.
_CERTIFICATES = "export PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\n"
# Written last. Without it a package counts as there for uv, which would leave it half installed, and is not for the probe.
_HALF = """for info in {}/lib/python3*/site-packages/*.dist-info; do [ -f "$info/RECORD" ] || rm -rf "$info"; done
"""


def pins(requirements: str, python: str) -> dict[str, str]:
    """Name → version of the pins that hold on Linux with `python` ("3.11"), from a requirements file with hashes."""
    environment = {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "os_name": "posix",
        "platform_system": "Linux", "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip
    found: dict[str, str] = {}
    for line in requirements.splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate(environment):
                found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


@dataclass(frozen=True)
class Venv(Resource):
    """A virtual environment made with the system's python3 that holds every pin of `requirements`.

    requirements, uv: texts of requirements files with hashes; uv names the installer, which goes in first. What was
    installed last is in PATH/requirements.txt, for services that watch it.
    """

    path: str
    requirements: str
    uv: str

    label_format = "virtual environment {path}"
    event = "{path}/requirements.txt"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        # Without python3 (a fresh server in check mode) any version serves: everything is missing.
        python = now.get("python") or "3.11"
        made = now.get("venv") == python
        there: dict[str, str] = {}
        for line in found.splitlines():
            name, dash, version = line.rpartition("-")
            if dash and "=" not in line and made:
                there[canonicalize_name(name)] = version
        actions = []
        if not made:
            make = quote("/usr/bin/python3 -m venv --clear {}", self.path)
            actions.append(Action(f"make {self.path}", make, seconds=300, writes=(f"venv:{self.path}",)))
        actions += self._install("pip", self.uv, python, there)
        actions += self._install("uv", self.requirements, python, there)
        return actions

    def _install(self, tool: str, requirements: str, python: str, there: dict[str, str]) -> list[Action]:
        wanted = pins(requirements, python)
        missing = [f"{name} {version}" for name, version in wanted.items() if there.get(name) != version]
        if not missing:
            return []
        if tool == "pip":
            options = "-q --disable-pip-version-check --require-hashes -r /dev/stdin"
            install = quote(f"{{}}/bin/python -m pip install {options}", self.path)
        else:
            # Compiled now: the hub's account cannot write here, and would compile at each start.
            install = quote(
                """cd {}
                cat > requirements.new
                bin/uv pip install --no-progress --compile-bytecode --python bin/python --require-hashes -r requirements.new
                mv requirements.new requirements.txt""",
                self.path,
            )  # fmt: skip
        shown = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
        by_hand = f"{self.path}/bin/pip install {' '.join(each.replace(' ', '==') for each in missing[:6])} …"
        script = quote(_HALF, self.path) + _CERTIFICATES + install
        return [Action(f"install {shown}", script, by_hand, requirements.encode(), seconds=900)]
