"""What is installed on a server, with versions: read before a run and after it."""

from __future__ import annotations

from hubrun import server_paths
from hubrun.desired.server import Server
from hubrun.errors import HubrunError
from hubrun.params import Site
from hubrun.shell import quote

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


def packages(server: Server) -> dict[str, str]:
    """Versions by kind and name: "deb nginx", "hub jupyterhub" (Python), "npm …", "image …" (its id).

    Raises HubrunError when the server does not answer.
    """
    lines = server.probe(quote("venv={}", server_paths.VENV) + _SCRIPT)[0].stdout.splitlines()
    pairs = (line.partition("\t") for line in lines)
    return {name: version for name, tab, version in pairs if tab and "<none>" not in name}


def packages_again(server: Server, site: Site) -> dict[str, str] | None:
    """The same over a new connection where the old one is gone; None when the server cannot be reached now."""
    try:
        return packages(server)
    except HubrunError:
        try:
            # It only looks: what the run had begun there may go on, and is the next one's to wait for.
            with Server.connect(site, check_mode=True) as fresh:
                return packages(fresh)
        except HubrunError:
            return None
