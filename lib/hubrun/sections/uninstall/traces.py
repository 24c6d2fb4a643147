"""The shell by which 16_uninstall finds what hubrun brought (functions that print it, a line each), and takes it away.

It stands behind the prelude of `resources.gone`: `noted`, `was`, `came`, `paths`.
"""

from __future__ import annotations

from hubrun.sections.docker_spawner import node_files, node_network
from hubrun.sections.https.other_sites import DEFAULT_SITE, HTTP_FILE, HTTPS_FILE
from hubrun.server_paths import (
    COURSES,
    HOMES,
    NETWORK,
    NODE_ACCOUNT,
    NODES_FILES,
    WIREGUARD_KEY,
)

UNITS = """
units() { {
    find /etc/systemd/system -maxdepth 1 -type f \\( -name 'jupyterhub*' -o -name 'hubrun-*' \\) -printf '%f\\n'
    systemctl list-units --plain --no-legend 'hubrun-build-*' | cut -d' ' -f1
} | sort; }
"""
STOP = """
systemctl stop 'hubrun-build-*' 2> /dev/null || true
for each in $(units | grep -v @); do systemctl disable --now "$each" 2> /dev/null || systemctl stop "$each"; done
for each in $(units); do rm -rf "/etc/systemd/system/$each" "/etc/systemd/system/$each.d"; done
systemctl daemon-reload
systemctl reset-failed 'jupyterhub*' 'hubrun-*' 2> /dev/null || true
! command -v nft > /dev/null || nft delete table inet hubrun 2> /dev/null || true
rm -rf /run/jupyterhub* /run/hubrun-* /run/nginx-jupyterhub-gate
"""
CONTAINERS = """
ours() { ! command -v docker > /dev/null || {
    docker ps -aq --filter label=hubrun.student; docker ps -aq --filter 'name=^/hubrun-(image(-|$)|autograde$)'
    docker ps -aq --filter 'name=^/jupyter-' --filter network=NETWORK  # of a version before, which had no label
} | sort -u; }
""".replace("NETWORK", NETWORK)
# A drop-in of ours stands beside the unit of somebody else.
DROP_INS = """
dropins() { find /etc/systemd/system -path '*.d/hubrun*.conf' -type f; }
"""
NGINX = f"""
rm -f {HTTP_FILE} {HTTPS_FILE} /etc/systemd/system/nginx.service.d/hubrun.conf
systemctl daemon-reload
if was "path {DEFAULT_SITE}" && [ -e /etc/nginx/sites-available/default ] && [ ! -e {DEFAULT_SITE} ]; then
    ln -s /etc/nginx/sites-available/default {DEFAULT_SITE}
fi
if came "package nginx"; then systemctl disable --now nginx 2> /dev/null || true
elif [ -e /usr/sbin/nginx ]; then nginx -t 2>&1 && systemctl restart nginx; fi
"""
_OURS_OF_CERTBOT = (
    "/etc/letsencrypt/hubrun* /etc/letsencrypt/acme-ca.pem /etc/letsencrypt/renewal-hooks/deploy/hubrun-nginx"
)
CERTIFICATE_LOOK = f"""
if came 'path /etc/letsencrypt'; then paths /etc/letsencrypt /var/lib/letsencrypt
else paths /etc/letsencrypt/live/{{}} {_OURS_OF_CERTBOT}; fi
"""
CERTIFICATE = f"""
name={{}}
if came 'path /etc/letsencrypt'; then rm -rf /etc/letsencrypt /var/lib/letsencrypt; exit; fi
certbot delete --cert-name "$name" --non-interactive 2>&1 || rm -rf "/etc/letsencrypt/live/$name" "/etc/letsencrypt/archive/$name" "/etc/letsencrypt/renewal/$name.conf"
rm -f {_OURS_OF_CERTBOT}
"""
_HOSTS_LINE = "line=$(printf '127.0.1.1\\t%s' \"$(hostname)\")\n"
HOSTS_LOOK = (
    _HOSTS_LINE
    + 'grep -qxF -- "$line" /etc/hosts && came "hosts $line" && echo "there the line of $(hostname) in /etc/hosts"'
)
# In place: in a container it is a mount.
HOSTS = _HOSTS_LINE + 'rest=$(grep -vxF -- "$line" /etc/hosts || true)\nprintf \'%s\\n\' "$rest" > /etc/hosts'
SWAP_LOOK = (
    "grep -q '^/swapfile none swap sw 0 0$' /etc/fstab && came 'fstab /swapfile none swap sw 0 0' && paths /swapfile"
)
SWAP = """
swapoff /swapfile 2> /dev/null || true
rm -f /swapfile
sed -i '\\#^/swapfile none swap sw 0 0$#d' /etc/fstab
"""
_ZONE = """zone=$(sed -n 's/^zone //p' "$before" 2> /dev/null) now=$(readlink /etc/localtime | sed -n 's#.*/zoneinfo/##p')
"""
ZONE_LOOK = _ZONE + 'noted && [ "$now" != "$zone" ] && echo "there the time zone $now (before: ${zone:-none})"'
ZONE = (
    _ZONE
    + """if [ -n "$zone" ]; then
    ln -sfn "/usr/share/zoneinfo/$zone" /etc/localtime
    [ ! -e /etc/timezone ] || echo "$zone" > /etc/timezone
else rm -f /etc/localtime; fi"""
)
UFW = """
added() { ! command -v ufw > /dev/null || ufw show added | sed -n 's/^ufw //p' |
    grep -E '^allow (80/tcp|443/tcp|51820/udp|from [0-9./]+ to ([0-9.]+|any) port (22|2049|8081|51820) proto (tcp|udp))' |
    while read -r rule; do ! came "ufw $rule" || echo "$rule"; done; }
"""
# Of a server with nodes, and of a node.
NODES_LOOK = f"{node_network.LEFT}{node_files.LEFT}paths {WIREGUARD_KEY} {NODES_FILES} /var/lib/{NODE_ACCOUNT}\n"
NODES = f"""{node_network.TAKE}{node_files.TAKE}
rm -f {WIREGUARD_KEY}
rm -rf --one-file-system {NODES_FILES} /var/lib/{NODE_ACCOUNT}
"""
# resgid: ext4(5). Another group's is somebody else's.
RESERVE = """
group=$(getent group {} | cut -d: -f3)
reserve() { [ -z "$group" ] || findmnt -rn -t ext4 -o TARGET,SOURCE,OPTIONS | sed -nE "s/^(\\S+) (\\S+) (.*,)?resgid=$group(,.*)?\\$/\\1 \\2/p"; }
"""
UNRESERVE = (
    'reserve | while read -r folder device; do mount -o remount,resgid=0 "$folder"; tune2fs -g 0 "$device"; done'
)
HOMES_DISK = f"""
# On a node they are those of the site's server: never taken away from here.
for folder in {COURSES} {HOMES}; do
    while case $(findmnt -rno FSTYPE --mountpoint "$folder" | tail -n 1) in nfs*|fuse*) ;; *) false;; esac; do umount -l "$folder" || exit 1; done
done
unit=$(systemd-escape --path --suffix=mount {COURSES})
if [ -e "/etc/systemd/system/$unit" ]; then
    systemctl disable --now "$unit"
    rm -f "/etc/systemd/system/$unit"
fi
unit=$(systemd-escape --path --suffix=mount {HOMES})
if [ -e "/etc/systemd/system/$unit" ]; then
    what=$(sed -n 's/^What=//p' "/etc/systemd/system/$unit")
    systemctl disable --now "$unit"
    case $what in /dev/*) [ ! -e "$what" ] || wipefs -q -a "$what";; esac
    rm -f "/etc/systemd/system/$unit"
    systemctl daemon-reload
fi
"""
_VOLUME = "^(jupyterhub-(user|old)-|hubrun-removing$)"
VOLUMES = f"""
volumes() {{ ! command -v docker > /dev/null || docker volume ls -q | grep -E '{_VOLUME}'; }}
"""
IMAGES = """
images() { ! command -v docker > /dev/null || {
    docker image ls -q --filter reference={} --filter reference={}
    docker image ls -q --filter label=hubrun.context --filter reference={}
} | sort -u; }
"""
# Of a network that there is not, Docker prints an empty line.
NETWORKS = """
network() { docker network inspect -f '{{.Name}}' {} 2> /dev/null | grep .; }
"""
ACCOUNTS = """
accounts() { for name in {}; do ! getent passwd "$name" > /dev/null || ! came "account $name" || echo "$name"; done; }
"""
# As if nobody had asked for ours by name: apt then says which of them, and of what they brought, nothing else needs. It is
# asked with a copy of its notes. What was there before stays, whoever needs it (apt-mark(8), apt-get(8): autoremove).
UNNEEDED = (
    CONTAINERS
    + """
unneeded() { (
    noted || exit 0
    ours=$(dpkg-query -W -f '${Package} ${db:Status-Status}\\n' -- "$@" 2> /dev/null | sed -n 's/ installed$//p' |
        while read -r each; do ! came "package $each" || echo "$each"; done)
    [ -n "$ours" ] || exit 0
    work=$(mktemp -d /run/hubrun-apt.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    cp /var/lib/apt/extended_states "$work/" 2> /dev/null || : > "$work/extended_states"
    look="-o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Dir::State::extended_states=$work/extended_states"
    apt-mark $look auto $ours > /dev/null
    apt-get -s $look -o APT::AutoRemove::SuggestsImportant=false --purge autoremove | sed -nE 's/^(Purg|Remv) (\\S+) .*/\\2/p' |
        while read -r each; do ! came "package $each" || echo "$each"; done
) }
# Nothing of others is in Docker, and it says so.
alone() { ! command -v docker > /dev/null || { docker version > /dev/null && [ -z "$(
    docker ps -aq | grep -vxF -e "$(ours)" || true
    docker volume ls -q | grep -vE 'VOLUME' || true)" ]; }; }
""".replace("VOLUME", _VOLUME)
)
_DOCKER_FOLDERS = "/var/lib/docker /var/lib/containerd /etc/docker /etc/cni /opt/containerd"
DOCKER_LOOK = (
    f'command -v dockerd > /dev/null || for each in {_DOCKER_FOLDERS}; do ! came "path $each" || paths $each; done\n'
)
DOCKER_FOLDERS = f"""
for each in {_DOCKER_FOLDERS}; do ! came "path $each" || rm -rf --one-file-system "$each"; done
! came 'group docker' || groupdel docker 2> /dev/null || true
ip link delete docker0 2> /dev/null || true
"""
# What uv and npm downloaded, and apt.
CACHES = """
for each in /root/.cache/uv /root/.npm; do ! came "path $each" || paths $each; done
find /var/cache/apt/archives -maxdepth 1 -name '*.deb' -printf 'there %p\\n'
"""
NO_CACHES = """
for each in /root/.cache/uv /root/.npm; do ! came "path $each" || rm -rf --one-file-system $each; done
apt-get clean
"""
# No file is in them; but for a page that nginx's package leaves.
EMPTY = """
empty() { for each in /etc/systemd/journald.conf.d /etc/systemd/system/*.d /var/www /etc/docker /etc/apt/keyrings /srv/jupyterhub /root/.cache; do
    case $each in /etc/systemd/system/*) ours=yes;; *) came "path $each" && ours=yes || ours=;; esac
    [ -z "$ours" ] || [ ! -d "$each" ] || [ -n "$(find "$each" ! -type d ! -name index.nginx-debian.html -print -quit)" ] || echo "$each"
done; }
"""
# Whatever has a name of ours.
LEFT = """
find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path '/var/lib/docker/*' \\) -prune -o \\
    \\( -iname '*hubrun*' -o -iname '*jupyterhub*' \\) -print 2> /dev/null | head -n 50
"""
