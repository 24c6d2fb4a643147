"""What must hold before anything is changed on a server: all of it is tested and reported at once."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from typing_extensions import override

from hubrun.desired.checks import Check, Test
from hubrun.desired.supported_systems import ARCHITECTURES, SYSTEMS
from hubrun.params import Site
from hubrun.resources.packages import LOOK
from hubrun.sections.https import other_sites
from hubrun.sections.https.site_certificate import dns_challenge
from hubrun.sections.server import accounts, docker_here
from hubrun.shell import quote

# A launch lives for minutes (`lti_launch_minutes`), of which people need most: what a server's clock is off is lost to them.
CLOCK_SECONDS = 15
# Once the hub is installed the space was used for it; then this much must be left.
LEFT_MB = 1024

# Who listens on a port: /proc, since a fresh server need not have `ss`. In /proc/net/tcp state 0A is LISTEN.
_PORT = """
port={}
set -- /proc/net/tcp; [ -e /proc/net/tcp6 ] && set -- "$@" /proc/net/tcp6
inode=$(awk -v port="$(printf ':%04X' "$port")" '$2 ~ port "$" && $4 == "0A" {print $10; exit}' "$@") || exit 1
[ -n "$inode" ] || { echo free; exit 0; }
for fd in /proc/[0-9]*/fd/*; do
    if [ "$(readlink "$fd" 2>/dev/null)" = "socket:[$inode]" ]; then
        pid=${fd#/proc/}; pid=${pid%%/*}; name=$(cat "/proc/$pid/comm"); break
    fi
done
[ "${name:-}" = nginx ] && { echo "nginx, as it should be"; exit 0; }
echo "held by ${name:-an unknown program} (process ${pid:-?})"
exit 1
"""

# Host and port as arguments: no part of a command's text.
_REACHED = """timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - {} {} && echo reached"""


class ClockTest(Test):
    """The server's clock, compared with this machine's at the moment of the answer."""

    @override
    def judge(self, exit_code: int, text: str, at: float = 0.0) -> Check:
        check = super().judge(exit_code, text, at)
        if not check.ok:
            return check
        skew = int(text) - int(at or time.time())
        ok = abs(skew) <= CLOCK_SECONDS
        expected = f"within {CLOCK_SECONDS} s of this machine's"
        return Check(self.title, ok, expected, f"{skew} s off", self.remedy)


def preflight(site: Site) -> list[Test]:
    """Tests of a server for this site. They only look, and need nothing that a fresh server lacks."""
    systems = "|".join(f"'{name} {version}'" for name, version in SYSTEMS)
    disk_mb = site.min_disk_gb * 1024
    return [
        Test(
            "operating system",
            f'. /etc/os-release\necho "$PRETTY_NAME"\ncase "$ID $VERSION_ID" in {systems}) ;; *) exit 1;; esac',
            remedy="Use " + ", ".join(system.name for system in SYSTEMS.values()),
        ),
        Test(
            "processor architecture",
            quote('arch=$(dpkg --print-architecture)\necho "$arch"\ncase " {} " in *" $arch "*) ;; *) exit 1;; esac'.replace("{}", " ".join(ARCHITECTURES))),
            remedy="Use a server with one of " + ", ".join(ARCHITECTURES),
        ),
        Test("systemd manages the services", "test -d /run/systemd/system && systemctl --version | head -n 1", "^systemd", remedy="Use a server, not a plain container"),
        Test("root's rights", 'test "$(id -u)" = 0', remedy="Log in as root, or as a user who may use sudo"),
        Test(
            f"memory of at least {site.min_memory_mb} MB",
            f"awk '/^MemTotal/ {{mb = $2 / 1024; printf \"%d MB\\n\", mb; exit mb < {site.min_memory_mb}}}' /proc/meminfo",
            prints="^[0-9]+ MB$",
            remedy="Use a larger server: the hub needs about 400 MB, and each student at most user_memory_mb",
        ),
        Test(
            f"disk space of at least {site.min_disk_gb} GB ({LEFT_MB} MB once installed)",
            f"""need={disk_mb}; [ -x /opt/jupyterhub/bin/jupyterhub ] && need={LEFT_MB}
            for folder in / /opt /opt/jupyterhub /srv /tmp /var /var/lib/docker; do
                [ -d "$folder" ] || continue
                left=$(df -Pm "$folder" | awk 'NR == 2 {{print $4}}')
                want=$need; [ "$folder" = /tmp ] && want=64
                [ "$left" -ge "$want" ] || {{ echo "$folder has $left MB left, $want MB are needed"; bad=1; }}
            done
            [ -z "${{bad:-}}" ] && echo "$(df -Pm / | awk 'NR == 2 {{print $4}}') MB left"
            """,
            remedy="Free space or enlarge the disk; min_disk_gb sets the limit",
        ),
        *(
            Test(
                f"port {port} is free, or nginx's", quote(_PORT, port),
                remedy=f"Stop and disable what holds port {port} (systemctl disable --now …)",
            )
            for port in (80, 443)
        ),
        *accounts.free_names(site),
        other_sites.test(site),
        docker_here.subnet_test(site),
        docker_here.engine_test(site),
        ClockTest(
            f"clock within {CLOCK_SECONDS} s of this machine's",
            "date +%s",
            prints="^[0-9]+$",
            remedy="Set the clock: timedatectl set-ntp true. LTI refuses launches when it is wrong",
        ),
        *(
            Test(
                f"the server reaches {host}", quote(_REACHED, host, port),
                prints="reached", remedy="Check the server's DNS and its outbound firewall",
            )
            for host, port in _outside(site)
        ),
        Test(
            "the server reaches its package mirror",
            f"apt_options='{LOOK}'" + """
            proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
            url=${proxy:-$(apt-get $apt_options update --print-uris 2>/dev/null | sed -n "s/^'\\([^']*\\)'.*/\\1/p" | head -n 1)}
            host=${url#*://}; host=${host%%/*}; port=${host##*:}; [ "$port" = "$host" ] && port=80
            case $url in https:*) [ "$port" = 80 ] && port=443;; esac
            echo "$host"; timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "${host%%:*}" "$port"
            """,
            remedy="Check /etc/apt/sources.list, the server's DNS and its outbound firewall",
        ),
    ]  # fmt: skip


def _outside(site: Site) -> list[tuple[str, int]]:
    """Hosts and ports, from the parameters, that the server will need."""
    urls = [site.acme_directory] if site.tls == "acme" else []
    if site.docker_channel == "docker-ce" and site.docker_apt_url.startswith("http"):
        urls.append(site.docker_apt_url)
    registry = site.base_image.split("/")[0]
    if "." in registry:
        urls.append(f"https://{registry}")
    parts = [urlsplit(url) for url in urls]
    hosts = [(part.hostname or "", part.port or (80 if part.scheme == "http" else 443)) for part in parts]
    dns = dns_challenge(site) if site.tls == "acme" else None
    return hosts + (dns.apis if dns else [])
