"""What a server was before hubrun came: noted once, so that it can be made so again."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.shell import quote

# One fact a line. What is not noted here cannot be put back: packages that were updated, for one.
_NOTE = """
path={}
install -d -m 0755 "$(dirname "$path")"
{
    dpkg-query -W -f 'package ${Package} ${db:Status-Status}\\n' | sed -n 's/ installed$//p'
    getent passwd | sed -nE 's/^([^:]+):.*/account \\1/p'
    getent group | sed -nE 's/^([^:]+):.*/group \\1/p'
    sed 's/^/hosts /' /etc/hosts
    sed 's/^/fstab /' /etc/fstab 2> /dev/null
    readlink /etc/localtime | sed -n 's#.*/zoneinfo/#zone #p'
    ! command -v ufw > /dev/null || ufw show added | sed -n 's/^ufw /ufw /p'
    base64 -w0 /etc/docker/daemon.json 2> /dev/null | sed 's/^/daemon.json /;s/$/\\n/'
    for each in /etc/nginx/sites-enabled/default /etc/letsencrypt /etc/docker /etc/apt/keyrings /etc/systemd/journald.conf.d \\
        /var/www /srv/jupyterhub /swapfile /var/lib/docker /var/lib/containerd /etc/cni /opt/containerd \\
        /root/.cache /root/.cache/uv /root/.npm; do
        [ ! -e "$each" ] && [ ! -L "$each" ] || echo "path $each"
    done
    date -u '+noted %Y-%m-%dT%H:%MZ'
} > "$path.new"
mv -T "$path.new" "$path"
"""


@dataclass(frozen=True)
class NotedBefore(Resource):
    """What the server is, in the file `path`, as long as nothing of hubrun is there: `traces` are paths and accounts that
    hubrun makes. On a server that hubrun set up already, nothing is done.
    """

    path: str
    traces: tuple[str, ...]

    label_format = "a note of what the server was before"

    @override
    def probe(self) -> str:
        return quote(
            """for each in {} {}; do
                if [ -e "$each" ] || getent passwd "$each" > /dev/null; then echo there; break; fi
            done""",
            self.path, self.traces,
        )  # fmt: skip

    @override
    def plan(self, found: str) -> list[Action]:
        if found.strip():
            return []
        return [Action(f"note it in {self.path}, for 16_uninstall", quote(_NOTE, self.path))]
