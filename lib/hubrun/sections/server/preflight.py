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
from hubrun.sections.server import accounts, docker_here, homes_here
from hubrun.server_paths import IMAGE_FOLDER, WIREGUARD
from hubrun.shell import exports, quote
from hubrun_hub.lti.outbound import is_direct

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

# All tests are one question, which has its own limit (PROBE_SECONDS): together they must end before it does.
# Host and port as arguments: no part of a command's text.
_REACHED = """timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - {} {} && echo reached"""
# By way of a proxy, which is asked for a tunnel (RFC 9110, 9.3.6), or on port 80 for the page itself.
_BY_PROXY = """
timeout 10 bash -c '
    exec 3<>"/dev/tcp/$1/$2" || exit
    if [ "$4" = 80 ]; then printf "HEAD http://%s/ HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n" "$3" "$3" >&3
    else printf "CONNECT %s:%s HTTP/1.1\\r\\nHost: %s:%s\\r\\n\\r\\n" "$3" "$4" "$3" "$4" >&3; fi
    read -r version status reason <&3
    case $version:$status:$4 in
        HTTP/*:2??:*|HTTP/*:3??:80|HTTP/*:404:80) echo reached;;
        *) echo "the proxy answers: $status $reason"; exit 1;;
    esac' - {} {} {} {}
"""
# apt itself fetches what it would fetch first of each source, into a folder of its own that goes again: it knows of
# mirrors, proxies and hosts without one (apt.conf(5), sources.list(5), apt-transport-mirror(1)).
_APT_REACHES = f"""
lists=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -1440 2> /dev/null | head -n 1)
newer=$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer /var/lib/apt/lists -type f 2> /dev/null | head -n 1)
# As young as that, no run fetches them again (Updates).
if [ -n "$lists" ] && [ -z "$newer" ]; then echo "apt was there within the last day"; exit 0; fi
folder=$(mktemp -d /run/hubrun-apt.XXXXXX) || exit 1
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder/tmp"  # where apt checks signatures
mkdir "$folder/partial" "$TMPDIR"
chmod 0755 "$folder"
chown _apt "$folder/partial" "$TMPDIR" 2> /dev/null
# Without what others have it do after an update, such as to empty its archive.
cat > "$folder/conf" << END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode "any";
Dir::State::lists "$folder";
Acquire {{
    Languages "none"; Retries "0"; http {{ Timeout "10"; ConnectTimeout "10"; }}; https {{ Timeout "10"; ConnectTimeout "10"; }};
    IndexTargets {{ deb::Packages::DefaultEnabled "false"; deb-src::Sources::DefaultEnabled "false"; }};
}};
END
out=$(timeout 60 apt-get {LOOK} -c "$folder/conf" update 2>&1)
code=$?
came=$(printf '%s\\n' "$out" | sed -nE 's/^(Get|Hit):[0-9]+ ([^ ]+) .*/\\2/p' | sort -u)
if [ "$code" = 0 ] && [ -n "$came" ]; then echo $came; exit 0; fi
[ "$code" != 0 ] || echo "nothing came"
[ "$code" != 124 ] || echo "no answer within 60 s"
printf '%s\\n' "$out" | grep -E '^(E|W): ' | grep -v 'Some index files' | sort | head -n 1
exit 1
"""


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


def basics(site: Site) -> list[Test]:
    """Tests of what a server is, whether the site's own or a node."""
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
            f"""need={disk_mb}; {{ [ -x /opt/jupyterhub/bin/jupyterhub ] || [ -d {IMAGE_FOLDER} ] || [ -e {WIREGUARD} ]; }} && need={LEFT_MB}
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
    ]  # fmt: skip


def preflight(site: Site) -> list[Test]:
    """Tests of a server for this site. They only look, and need nothing that a fresh server lacks."""
    return [
        *basics(site),
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
        *homes_here.tests(site),
        ClockTest(
            f"clock within {CLOCK_SECONDS} s of this machine's",
            "date +%s",
            prints="^[0-9]+$",
            remedy="Set the clock: timedatectl set-ntp true. LTI refuses launches when it is wrong",
        ),
        *outside(site),
    ]  # fmt: skip


def outside(site: Site) -> list[Test]:
    """Tests that a server reaches what it has to download from."""
    return [
        *(
            Test(
                f"the server reaches {host}", _reached(site, host, port), prints="^reached$",
                remedy=f"Check that {site.http_proxy} lets the server through to it, or add it to no_proxy" if site.http_proxy
                else "Check the server's DNS and its outbound firewall; a network with a proxy needs http_proxy",
            )
            for host, port in _outside(site)
        ),
        Test(
            "apt reaches its package sources", exports(site.proxy_environment) + _APT_REACHES,
            remedy="Check /etc/apt/sources.list, sources.list.d and apt.conf.d, the server's DNS and its outbound firewall; a "
            "network with a proxy needs http_proxy. To see more: apt-get update",
        ),
    ]  # fmt: skip


def _reached(site: Site, host: str, port: int) -> str:
    """Shell of a test that the server reaches it; the registry of an image that is on the server already is not asked."""
    there = quote(
        "docker image inspect {} >/dev/null 2>&1 && { echo reached; echo 'the image is here'; exit 0; }\n",
        site.base_image,
    )
    direct = not site.http_proxy or is_direct(host, site.no_proxy)
    asked = quote(_REACHED, host, port) if direct else quote(_BY_PROXY, *site.proxy_port, host, port)
    return (there if _registry(site.base_image).partition(":")[0] == host else "") + asked


def _registry(image: str) -> str:
    """The registry in an image's name; "" where it is Docker's own, or none (pkg.go.dev/github.com/distribution/reference)."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def _outside(site: Site) -> list[tuple[str, int]]:
    """Hosts and ports, from the parameters, that the server will need."""
    urls = [site.acme_directory] if site.tls == "acme" else []
    if site.docker_channel == "docker-ce" and site.docker_apt_url.startswith("http"):
        urls.append(site.docker_apt_url)
    if registry := _registry(site.base_image):
        urls.append(f"https://{registry}")
    parts = [urlsplit(url) for url in urls]
    hosts = [(part.hostname or "", part.port or (80 if part.scheme == "http" else 443)) for part in parts]
    dns = dns_challenge(site) if site.tls == "acme" else None
    return hosts + (dns.apis if dns else [])
