"""What is installed on a server, with versions: read before a run and after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hubrun import server_paths
from hubrun.errors import HubrunError
from hubrun.params import Site
from hubrun.shell import quote
from hubrun.ssh.output import Output


class Asked(Protocol):
    """A server, as `Server` is one: it is asked here, or by the run's kernel."""

    def identity(self) -> dict[str, str]:
        """What it is."""

    def probe(self, *snippets: str) -> Sequence[Output]:
        """What read-only scripts print there. Raises HubrunError when it does not answer."""


# One line each: kind and name, a tab, the version. dist-info: PyPA, "Recording installed projects".
_SCRIPT = """
dpkg-query -W -f '${db:Status-Abbrev}deb ${Package}\\t${Version}\\n' | sed -n 's/^ii //p'
for folder in "$venv"/lib/python3*/site-packages/*.dist-info; do
    [ -d "$folder" ] || continue
    name=${folder##*/}; name=${name%.dist-info}
    printf 'hub %s\\t%s\\n' "${name%%-*}" "${name#*-}"
done
for file in "$venv"/proxy/lib/node_modules/*/package.json "$venv"/proxy/node_modules/configurable-http-proxy/package.json; do
    [ -f "$file" ] || continue
    name=${file%/package.json}
    printf 'npm %s\\t%s\\n' "${name##*/}" "$(sed -n 's/^ *"version": *"\\([^"]*\\)".*/\\1/p' "$file" | head -n 1)"
done
if command -v docker >/dev/null; then
    docker image ls --no-trunc --format 'image {{.Repository}}:{{.Tag}}\\t{{.ID}}' 2>/dev/null || true
fi
"""


def script() -> str:
    """The question that `packages` asks."""
    return quote("venv={}", server_paths.VENV) + _SCRIPT


def packages(server: Asked) -> dict[str, str]:
    """Versions by kind and name: "deb nginx", "hub jupyterhub" (Python), "npm …", "image …" (its id).

    Raises HubrunError when the server does not answer.
    """
    lines = server.probe(script())[0].stdout.splitlines()
    pairs = (line.partition("\t") for line in lines)
    return {name: version for name, tab, version in pairs if tab and "<none>" not in name}


def packages_again(server: Asked, site: Site) -> dict[str, str] | None:
    """The same over a new connection where the old one is gone; None when the server cannot be reached now."""
    try:
        return packages(server)
    except HubrunError:
        try:
            from hubrun.desired.server import Server

            # It only looks: what the run had begun there may go on, and is the next one's to wait for.
            with Server.connect(site, check_mode=True) as fresh:
                return packages(fresh)
        except HubrunError:
            return None
