"""Containers of a practice server: files put into them, and waiting for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence

from hubrun.errors import HubrunError
from hubrun.practice.docker_engine import Engine
from hubrun.tarball import packed


def put_files(engine: Engine, container: str, files: Mapping[str, tuple[str, int]]) -> None:
    """Write files, path → (text, mode), owned by root, into a container that need not run."""
    texts = {path.lstrip("/"): text.encode() for path, (text, _) in files.items()}
    modes = {path.lstrip("/"): mode for path, (_, mode) in files.items()}
    engine.run("cp", "-", f"{container}:/", stdin=packed(texts, int(time.time()), modes))


# What the kernel does not keep apart for containers, and a server's root would change on the machine underneath:
# capabilities(7): its clock, modules, ports, sleep and accounting;
_OF_THE_MACHINE = ("SYS_TIME", "WAKE_ALARM", "SYS_MODULE", "SYS_RAWIO", "BLOCK_SUSPEND", "SYS_PACCT")
# and its settings, which packages write at boot (systemd-sysctl): systemd-nspawn's table of mounts (nspawn-mount.c) leaves
# /proc/sys/net alone writable.
_PROTECTED = ("abi", "debug", "dev", "fs", "kernel", "vm")
# As many loop devices are there to be seen.
_LOOPS = 64


def server_options(os_name: str, cgroup: int, devices: Sequence[str] = ()) -> list[str]:
    """The `docker create` options under which systemd runs as PID 1 in a container. devices: of this machine, that it gets.

    Not --privileged: that is refused where the engine itself lacks CAP_SYS_RESOURCE, which systemd can do
    without.
    systempaths=unconfined leaves /proc/sys/net writable, for the Docker engine inside; see `server_command`.
    """
    options = ["--cap-add=ALL", *(f"--cap-drop={name}" for name in ("SYS_RESOURCE", *_OF_THE_MACHINE))]
    options += [f"--security-opt={name}=unconfined" for name in ("seccomp", "apparmor", "systempaths")]
    options += ["--tmpfs=/run", "--env=container=docker"]
    # Loop devices, for a file system in a file (homes_gb): mem(4), loop(4). They are the machine's, and all servers' together.
    options += ["--device-cgroup-rule=c 10:237 rmw", "--device-cgroup-rule=b 7:* rmw"]
    options += [f"--device={device}" for device in devices]
    if cgroup == 2:
        return [*options, "--cgroupns=private"]
    options += ["--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"]
    if os_name == "debian-13":
        # systemd 256 and later refuse control groups v1 without this word (its NEWS, "CHANGES WITH 256").
        legacy = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
        options += [
            f"--env={legacy}",
            f"--env=SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=0 {legacy}",
        ]
    return options


def server_command(cgroup: int, before: str = "") -> list[str]:
    """What the container starts, after the lines of shell `before`. Docker mounts control groups v2 read-only without --privileged."""
    paths = " ".join(["/proc/sysrq-trigger", *(f"/proc/sys/{name}" for name in _PROTECTED)])
    protect = f'for path in {paths}; do [ ! -e "$path" ] || {{ mount --bind "$path" "$path" && mount -o remount,bind,ro "$path"; }} || exit; done'
    writable = "mount -o remount,rw /sys/fs/cgroup || exit\n" if cgroup == 2 else ""
    # Nobody makes their files here, where there is no udev. A mount with `loop` frees its own when the server goes.
    loops = "mknod -m 660 /dev/loop-control c 10 237\n"
    loops += f"for n in $(seq 0 {_LOOPS - 1}); do mknod -m 660 /dev/loop$n b 7 $n; done\n"
    return ["/bin/sh", "-c", f"{before}{loops}{protect}\n{writable}exec /sbin/init"]


def wait_for_ssh(port: int, limit: float, where: str) -> None:
    """Wait until an SSH server presents itself on 127.0.0.1. `limit` in seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise HubrunError(
        f"no SSH server answers on 127.0.0.1:{port} after {limit:.0f} s", where, "Run: ./hubrun practice reset"
    )


def free(port: int) -> bool:
    """Whether nothing listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
