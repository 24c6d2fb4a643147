"""What others can reach and read of the server: tests of the ports that are open, and of the files that hold secrets."""

from __future__ import annotations

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.params import Site
from hubrun.shell import quote

FOLDER = "/etc/jupyterhub"

# Where each port listens: ss(8), column "Local Address:Port". Nothing that listens there is a fault as well: it was not
# tested then.
_LISTENS = """
sockets=$(ss -ltnH) || { echo "ss does not say what listens"; exit 1; }
echo "$sockets" | awk -v ports={} -v allowed={} '
    BEGIN { count = split(ports, port, " "); split(allowed, each, " "); for (i in each) own[each[i]] = 1 }
    { number = $4; sub(/.*:/, "", number); at = $4; sub(/:[^:]*$/, "", at)
      where[number] = where[number] " " at; if (!(at in own)) open[number] = 1 }
    END { for (i = 1; i <= count; i++) {
            p = port[i]
            if (!(p in where)) { said = said "; nothing listens on " p; bad = 1 }
            else { said = said "; " p " is open on" where[p]; if (p in open) bad = 1 } }
          print substr(said, 3); exit bad }'
"""
# root's own `cat` reads anything, so another account tries. What it reads is not printed.
_CLOSED = """
file={}
mode=$(stat -Lc %a "$file") || exit 1
[ "$mode" = 600 ] || { echo "its mode is $mode"; exit 1; }
said=$(runuser -u nobody -- cat "$file" 2>&1 >/dev/null) && { echo "the account nobody can read it"; exit 1; }
case $said in *"Permission denied"*) echo "mode $mode, nobody: $said";; *) echo "$said"; exit 1;; esac
"""
_OTHERS = """
found=$(find {} '(' -name '*.env' -o -name '*.link' ')' ! -perm 600 {}) || exit 1
[ -z "$found" ] || { echo "open to others:" $found; exit 1; }
"""


def closed_to_outside(site: Site, *ports: int) -> Test:
    """A test that each of these TCP ports listens, and on the server's own addresses alone.

    Those are the loopback addresses and the server's addresses in the students' network and in that of the nodes, where
    containers reach the hub.
    """
    names = ", ".join(str(port) for port in ports)
    return Test(
        f"ports {names} are closed to the outside",
        quote(
            _LISTENS,
            " ".join(str(port) for port in ports),
            f"127.0.0.1 [::1] {site.gateway} {site.nodes_gateway}".strip(),
        ),
        remedy="Look at: ss -ltnp. Does conf.d/90-local.py set c.JupyterHub.bind_url, hub_ip or the proxy's API address?",
    )


def secrets_closed(site: Site) -> list[Test]:
    """Tests that each file with secrets of the hub is there, has mode 0600, and cannot be read by another account."""
    paths = [server_paths.PROXY_ENV, server_paths.VERIFY_ENV]
    paths += [server_paths.secret_path(each.name) for each in site.all_consumers if each.has("1.1")]
    tests = [
        Test(f"{path} is closed to others", quote(_CLOSED, path), remedy=f"Run 02_hub_lti, or: chmod 0600 {path}")
        for path in paths
    ]
    named = [word for path in paths for word in ("!", "-path", path)]
    others = Test(
        f"no other file with secrets in {FOLDER} is open to others", quote(_OTHERS, FOLDER, named),
        remedy="chmod 0600 each of them",
    )  # fmt: skip
    return [*tests, others]
