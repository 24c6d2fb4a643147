"""Brings practice servers up, takes them down, makes them fresh."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from hubrun.errors import BadInput, HubrunError
from hubrun.practice import acme, container, copies, docker_engine, machine, practice_server, server_images
from hubrun.practice.docker_engine import Engine, Say
from hubrun.practice.practice_server import Machine, Practice
from hubrun.practice.server_images import Images

BOOT_LIMIT = 90  # seconds; it takes 2 to 6
SERVICES_LIMIT = 30
STOP_LIMIT = 180
MOST = 120  # practice servers, so that all ports stay below 32768


def up(name: str = "practice", os: str | None = None, say: Say = print, servers: int | None = None) -> Practice:
    """Start the practice server `name`, or make it, and finish or repair what is half there.

    `os` is debian-12 or debian-13; None means the one that the server has, or debian-12 for a new one. `servers`: how many,
    with its nodes; None means as many as it has, or one.
    `say` gets a line for each stage. Raises BadInput (nothing was touched), EngineMissing, or HubrunError.
    """
    practice_server.check_name(name)
    if os is not None:
        practice_server.check_os(os)
    with _alone(say):
        known = practice_server.read(name)
        if known and known.made and os not in (None, known.os):
            raise BadInput(
                f"practice server {name!r} runs {known.os}", "--os", "Choose another --name, or take it down first"
            )
        if known and known.made and servers not in (None, known.servers):
            raise BadInput(
                f"practice server {name!r} has {known.servers - 1} nodes",
                "--nodes",
                "Choose another --name, or take it down first",
            )
        docker = docker_engine.ensure(practice_server.STATE, say)
        return _up(
            docker, name, os or (known.os if known else "debian-12"), servers or (known.servers if known else 1), say
        )


def copy(source: str, name: str, say: Say = print) -> Practice:
    """Make practice server `name`, which `up` starts, a copy of `source` as it is now: its disk, users, domain, certificates.

    It has an address and ports of its own, which the site's runbooks make known to its hub. `source` pauses meanwhile, and
    what it has not written yet is not copied, as when the power fails. BadInput (nothing was touched), or HubrunError.
    """
    practice_server.check_name(source)
    practice_server.check_name(name)
    with _alone(say):
        original, known = practice_server.read(source), practice_server.read(name)
        if original is None or not (original.made or original.copy_of):
            raise BadInput(f"there is no practice server {source!r}", "practice copy", "Name one that is there")
        if original.servers > 1:
            raise BadInput(f"practice server {source!r} has nodes", "practice copy", "Copy one without nodes")
        if known:
            raise BadInput(
                f"there is a practice server {name!r} already", "--name", "Choose another name, or take it down first"
            )
        docker = docker_engine.ensure(practice_server.STATE, say)
        say(f"copying practice server {source!r} (about 20 s)")
        practice = _place(docker, name, original.os, 1, original.copy_of or source)
        try:
            copies.fill(docker, original, practice)
        except BaseException:  # half a copy is of no use
            _remove(docker, name)
            shutil.rmtree(practice.folder)
            raise
        return practice


def reset(name: str = "practice", say: Say = print) -> Practice:
    """Replace the practice server by a fresh one with the same name, system, ports and login key."""
    practice_server.check_name(name)
    with _alone(say):
        known = practice_server.read(name)
        if known is None:
            raise BadInput(f"there is no practice server {name!r}", "practice", "Run: ./hubrun practice up")
        docker = docker_engine.ensure(practice_server.STATE, say)
        say(f"removing practice server {name!r} (its images stay for the fresh one)")
        known = known.save(made=False)
        _remove(docker, name)
        (known.folder / "ca_bundle.pem").unlink(missing_ok=True)
        return _up(docker, name, known.os, known.servers, say)


def down(name: str = "practice", say: Say = print) -> None:
    """Remove the practice server and all that was made for it; with the last one also images and engine."""
    practice_server.check_name(name)
    folder = practice_server.STATE / name
    if not practice_server.STATE.exists():
        say(f"there is no practice server {name!r}")
        return
    with _alone(say):
        docker = docker_engine.ensure(practice_server.STATE, say)
        say(f"removing practice server {name!r}: containers, volumes, network, state")
        _remove(docker, name)
        shutil.rmtree(folder, ignore_errors=True)
        last = not practice_server.every() and not docker.labelled("container", "hubrun.practice")
        if last:
            say("it was the last one: removing the images made for practice")
            _remove_images(docker)
            docker_engine.stop(practice_server.STATE, say)
    if last:
        shutil.rmtree(practice_server.STATE, ignore_errors=True)


def ssh(name: str, args: list[str]) -> None:
    """Become an SSH client that is logged in to the practice server; `args` as for ssh(1) after the host."""
    client = shutil.which("ssh")
    info = practice_server.load(name).info()["ssh"]
    if client is None:
        raise HubrunError("no ssh on this machine", "practice ssh", "Run: sudo apt-get install openssh-client")
    options = ["-i", info["key"], "-p", str(info["port"]), "-l", info["user"], "-o", "IdentitiesOnly=yes"]
    options += ["-o", f"UserKnownHostsFile={info['known_hosts']}", "-o", "StrictHostKeyChecking=yes"]
    os.execv(client, [client, *options, info["host"], *args])


@contextlib.contextmanager
def _alone(say: Say) -> Iterator[None]:
    """One command at a time changes practice servers: they share images, addresses and the engine."""
    practice_server.STATE.mkdir(mode=0o700, exist_ok=True)
    with (practice_server.STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another practice command to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _up(docker: Engine, name: str, os_name: str, servers: int, say: Say) -> Practice:
    practice = _place(docker, name, os_name, servers)
    images = Images(docker, os_name, say)
    made = docker.inspect("container", practice.container) if practice.made else None
    copied = None if practice.made else docker.inspect("image", practice.image)
    beside = docker.inspect("container", practice.services)
    with ThreadPoolExecutor() as pool:
        present = {"notebook": beside, "server": made or copied, "services": beside}  # the longest build first
        needed = [kind for kind, there in present.items() if not there]
        builds: dict[str, Future[str]] = {}
        if any(images.missing(kind) for kind in needed):
            images.build("base")
            say("building the images of server, services and stand-in notebook, side by side (about 45 s)")
        for kind in needed:
            builds[kind] = pool.submit(images.build, kind)
        if beside is None:
            _make_services(docker, practice, builds["services"].result(), images.digest)
        _start(docker, practice.services, say)
        _wait_for_services(docker, practice)
        if made is None:
            image_name = practice.image if copied else builds["server"].result()
            practice = _make_servers(docker, practice, image_name, say)
        else:
            for each in practice.machines():
                _start(docker, each.container, say)
                container.wait_for_ssh(each.ssh_port, BOOT_LIMIT, each.container)
        if not _registry_filled(docker, practice):
            notebook = builds.get("notebook") or pool.submit(images.build, "notebook")
            _fill_registry(docker, practice, notebook.result(), say)
    _write_certificates(docker, practice, images.certificates)
    practice.write_site()
    say(f"practice server {name!r} ({os_name}) is up: {practice.url}")
    return practice


def _place(docker: Engine, name: str, os_name: str, servers: int, copy_of: str = "") -> Practice:
    """The server's number, held by a network whose addresses follow from it."""
    known = practice_server.read(name)
    whole = known and (known.made or not known.copy_of or docker.inspect("image", known.image))
    if known and whole and docker.inspect("network", known.container):
        return known if known.made else known.save(os=os_name, servers=servers)
    # With the network gone, nothing that was attached to it can start again; and half a copy is none.
    _remove(docker, name)
    taken = {other.index for other in practice_server.every() if other.name != name}
    wanted = [known.index] if known else []
    copy_of = known.copy_of if known else copy_of
    for index in [*wanted, *(n for n in range(1, MOST) if n not in taken)]:
        practice = Practice(name, os_name, index, servers=servers, copy_of=copy_of)
        ports = {*practice.ports.values(), *(port for each in practice.machines() for port in each.ports)}
        if not all(map(container.free, ports)):
            continue
        try:
            subnet = f"--subnet={practice.subnet}"
            docker.run("network", "create", subnet, "--label", practice.label, practice.container)
        except HubrunError as error:
            if "overlap" in error.what:
                continue
            raise
        return practice.save()
    raise HubrunError("no free addresses or ports for one more", "practice", "Run: ./hubrun practice down")


def _make_services(docker: Engine, practice: Practice, image_name: str, digest: str) -> None:
    tsig = practice.folder / "tsig_key"
    if not tsig.exists():
        # base64, as DNS servers write the key that signs updates of a zone (RFC 8945)
        practice_server.write(tsig, base64.b64encode(secrets.token_bytes(32)).decode())
    practice_server.write(practice.dns_file, acme.credentials(practice.services_address, tsig.read_text()))
    # All servers share what their registries hold, while it is the same: it is compressed and pushed once.
    registry = f"hubrun-practice-registry-{practice.os}-{digest}"
    docker.run("volume", "create", "--label", f"{server_images.LABEL}=registry", registry)
    docker.run(
        "create", "--name", practice.services, "--hostname", "acme", "--label", practice.label, "--init",
        "--restart", "on-failure", "--network", practice.container, "--ip", practice.services_address,
        "--publish", f"127.0.0.1:{practice.ports['registry']}:5000",
        "--volume", f"{registry}:{acme.REGISTRY_DATA}",
        image_name,
    )  # fmt: skip
    files = acme.configuration(practice.chain(), practice.domain, practice.names(), tsig.read_text())
    container.put_files(docker, practice.services, files)


def _wait_for_services(docker: Engine, practice: Practice) -> None:
    loop = f"for i in $(seq {SERVICES_LIMIT * 10}); do [ -e {acme.READY} ] && exit; sleep 0.1; done; exit 1"
    try:
        docker.run("exec", practice.services, "sh", "-c", loop, timeout=SERVICES_LIMIT + 10)
    except HubrunError as error:
        raise HubrunError(
            f"DNS, registry and ACME server are not ready after {SERVICES_LIMIT} s",
            practice.services,
            f"Read: docker logs {practice.services}; then ./hubrun practice reset",
        ) from error


def _make_servers(docker: Engine, practice: Practice, image_name: str, say: Say) -> Practice:
    practice_server.write(practice.folder / "resolv.conf", f"nameserver {practice.services_address}\n")
    # The server reads it as any of its users.
    (practice.folder / "resolv.conf").chmod(0o644)
    files = _keys(practice)
    if image_name == practice.image:
        files[practice.container][copies.ADDED_THERE] = ((practice.folder / copies.ADDED).read_text(), 0o600)
    say(
        "booting the server (about 5 s)"
        if practice.servers == 1
        else f"booting {practice.servers} servers (about 10 s)"
    )
    for each in practice.machines():
        _make_server(docker, practice, each, image_name, files[each.container])
    return practice.save(made=True)


def _make_server(
    docker: Engine, practice: Practice, server: Machine, image_name: str, files: dict[str, tuple[str, int]]
) -> None:
    if docker.inspect("container", server.container):  # left half made by a run that was cut short
        docker.run("rm", "-f", "-v", server.container)
    for volume in server.volumes.values():
        docker.run("volume", "create", "--label", practice.label, volume)
    # For the network between servers, and for files of the one on the others.
    devices = ("/dev/net/tun", "/dev/fuse") if practice.servers > 1 else ()
    docker.run(
        "create", "--name", server.container, "--hostname", server.hostname, "--label", practice.label,
        # on-failure: `reboot` typed on the server ends the container with an error, and it comes back.
        "--restart", "on-failure", "--network", practice.container, "--ip", server.address,
        *(f"--publish=127.0.0.1:{outside}:{inside}" for outside, inside in server.ports.items()),
        # A Docker engine inside cannot keep its layers on this container's own overlay file system.
        *(f"--volume={volume}:{folder}" for folder, volume in server.volumes.items()),
        f"--volume={practice.folder / 'resolv.conf'}:/etc/resolv.conf",
        *container.server_options(practice.os, docker.cgroup, devices),
        image_name,
        *container.server_command(docker.cgroup, copies.BEFORE_BOOT if practice.copy_of else ""),
    )  # fmt: skip
    container.put_files(docker, server.container, files)
    docker.run("start", server.container)
    # The first calls come before systemd listens; --wait then lasts until the boot is over.
    booted = "systemctl is-system-running --wait 2>/dev/null | grep -qx -e running -e degraded"
    wait = f"until {booted}; do sleep 0.1; done"
    docker.run("exec", server.container, "sh", "-c", wait, timeout=BOOT_LIMIT)
    failed = docker.run("exec", server.container, "systemctl", "--failed", "--no-legend", "--plain")
    if failed.strip():
        raise HubrunError(
            "the server did not boot as it should", server.container, "Run: ./hubrun practice reset", failed
        )
    container.wait_for_ssh(server.ssh_port, BOOT_LIMIT, server.container)


def _keys(practice: Practice) -> dict[str, dict[str, tuple[str, int]]]:
    """For each container a new host key, noted in known_hosts, and the login key, which lasts as long as the server's name."""
    login = practice.folder / "ssh_key"
    if not (login.exists() and login.with_suffix(".pub").exists()):
        private, public = _key_pair()
        practice_server.write(login.with_suffix(".pub"), f"{public} practice\n")
        practice_server.write(login, private)
    known, files = "", {}
    for each in practice.machines():
        host_private, host_public = _key_pair()
        # The key is put into the server, so it is known before the first login: nothing is trusted on first use.
        known += f"[127.0.0.1]:{each.ssh_port} {host_public}\n"
        files[each.container] = {
            "/root/.ssh/authorized_keys": (login.with_suffix(".pub").read_text(), 0o600),
            "/etc/ssh/ssh_host_ed25519_key": (host_private, 0o600),
            "/etc/ssh/ssh_host_ed25519_key.pub": (f"{host_public} root@{each.hostname}\n", 0o644),
        }
    practice_server.write(practice.folder / "known_hosts", known)
    return files


def _key_pair() -> tuple[str, str]:
    """A new Ed25519 key: (private, public), both as OpenSSH writes them."""
    key = ed25519.Ed25519PrivateKey.generate()
    encoding = serialization.Encoding
    private = key.private_bytes(encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def _start(docker: Engine, name: str, say: Say) -> None:
    found = docker.inspect("container", name)
    if found and not found["State"]["Running"]:
        say(f"starting {name}")
        docker.run("start", name)


def _registry_filled(docker: Engine, practice: Practice) -> bool:
    repository, _, tag = practice_server.BASE_IMAGE.partition(":")
    repositories = f"{acme.REGISTRY_DATA}/docker/registry/v2/repositories"
    link = f"{repositories}/{repository}/_manifests/tags/{tag}/current/link"
    try:
        docker.run("exec", practice.services, "test", "-s", link)
    except HubrunError:
        return False
    return True


def _fill_registry(docker: Engine, practice: Practice, image_name: str, say: Say) -> None:
    say("putting the stand-in notebook image into the practice registry (about 15 s)")
    # Engines push to 127.0.0.0/8 without verifying TLS; the server pulls by name and does verify.
    there = f"127.0.0.1:{practice.ports['registry']}/{practice_server.BASE_IMAGE}"
    docker.run("tag", image_name, there)
    try:
        docker.run("push", "-q", there, timeout=server_images.PULL_LIMIT)
    finally:
        docker.run("image", "rm", there)


def _write_certificates(docker: Engine, practice: Practice, machine_certificates: list[str]) -> None:
    """`ca/`: what the server needs to trust. `ca_bundle.pem`: what verifies certificates issued by pebble."""
    practice.chain()
    for number, pem in enumerate(machine_certificates):
        practice_server.write(practice.folder / "ca" / f"machine-{number}.pem", pem)
    bundle = practice.folder / "ca_bundle.pem"
    roots = machine.split_pem(docker.run("exec", practice.services, "cat", acme.ROOTS))
    # Roots of a container that has been replaced: what they issued may still be in use on the server.
    earlier = machine.split_pem(bundle.read_text()) if bundle.exists() else []
    practice_server.write(bundle, "".join(dict.fromkeys([*earlier, *roots])))


def _remove(docker: Engine, name: str) -> None:
    label = f"hubrun.practice={name}"
    for each in docker.labelled("container", label):
        docker.run("rm", "-f", "-v", each, timeout=STOP_LIMIT)
    for kind in ("volume", "network"):
        for each in docker.labelled(kind, label):
            docker.run(kind, "rm", each, timeout=STOP_LIMIT)
    image = practice_server.copy_image(name)
    if docker.inspect("image", image):
        docker.run("image", "rm", image, timeout=STOP_LIMIT)


def _remove_images(docker: Engine) -> None:
    # Containers here: those of a build that was cut short, which have their image's labels.
    for name in docker.labelled("container", server_images.LABEL):
        docker.run("rm", "-f", "-v", name)
    while images := docker.labelled("image", server_images.LABEL):
        for name in images:  # one that others are made from goes in a later round, when they are gone
            with contextlib.suppress(HubrunError):
                docker.run("image", "rm", "-f", name)
        if docker.labelled("image", server_images.LABEL) == images:
            raise HubrunError("images made for practice are in use", "docker image rm", detail="\n".join(images))
    for volume in docker.labelled("volume", server_images.LABEL):
        docker.run("volume", "rm", volume, timeout=STOP_LIMIT)
