"""The state of a server, as a deploy of pyinfra: `pyinfra inventory.py pyinfra_deploy.py --data state=state.json`."""

import json
from pathlib import Path

from pyinfra import host
from pyinfra.facts.docker import DockerImage
from pyinfra.operations import apt, docker, files, pip, server, systemd

state = json.loads(Path(host.data.state).read_text())

apt.packages(name="packages", packages=state["packages"], no_recommends=True)
if state["no_packages"]:
    apt.packages(name="no packages", packages=state["no_packages"], present=False)
for user in state["users"]:
    server.user(
        name=f"user {user['name']}",
        user=user["name"],
        home=user["home"],
        shell=user["shell"],
        groups=user["groups"],
        append=True,
        ensure_home=False,
    )
for folder in state["folders"]:
    files.directory(
        name=f"directory {folder['path']}",
        path=folder["path"],
        mode=folder["mode"],
        user=folder["owner"],
        group=folder["group"],
    )
for file in state["files"]:
    files.put(
        name=f"file {file['path']}",
        src=file["src"],
        dest=file["path"],
        mode=file["mode"],
        user=file["owner"],
        group=file["group"],
        add_deploy_dir=False,
        create_remote_dir=False,
    )
for file in state["closed"]:
    files.file(
        name=f"secrets {file['path']}", path=file["path"], mode=file["mode"], user=file["owner"], group=file["group"]
    )
for path in state["absent"]:
    files.file(name=f"no {path}", path=path, present=False)
for venv in state["venvs"]:
    pip.packages(name=f"virtual environment {venv['path']}", packages=venv["packages"], virtualenv=venv["path"])
for unit in state["units"]:
    systemd.service(name=f"unit {unit['name']}", service=unit["name"], running=unit["running"], enabled=unit["enabled"])
for network in state["networks"]:
    docker.network(
        name=f"network {network['name']}",
        network=network["name"],
        driver="bridge",
        subnet=network["subnet"],
        gateway=network["gateway"],
        opts=["com.docker.network.bridge.enable_icc=false"],
    )
for image in state["images"]:
    # docker.image would pull one that has no tag; this one is built on the server.
    found = host.get_fact(DockerImage, object_id=image["name"])
    if not found or found[0]["Id"] != image["id"]:
        server.shell(name=f"image {image['name']}", commands=["echo 'docker build …'; exit 1"])
