"""The service between the hub and Docker: what it passes on, word for word, and what it refuses, with the reason.

What a whole server does with it is in tests/server/test_attacks_docker.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubrun.params import Site
from hubrun.params.courses import CourseParams
from hubrun.sections.hub import config
from hubrun_hub import student_volume, test_student
from hubrun_hub.courses.mounts import Membership, places
from hubrun_hub.courses.servers import server_name
from hubrun_hub.docker_filter import calls, folders, serve
from hubrun_hub.docker_filter.create import CreateRequest, create, user_of
from hubrun_hub.docker_filter.folders import UnsafeFolder
from hubrun_hub.docker_filter.settings import Refused, Settings, load
from lti_hub import HUB, hub_python

SITE = Settings(
    ("hubrun-singleuser",), "jupyterhub", 1024, 1.0, 512, "/srv/nbgrader", "jupyterhub",
    {"/srv/data": "ro", "shared": "rw"},
)  # fmt: skip
GB = 2**30

# What DockerSpawner 14 with docker-py 7.2 sends for a student of one course: written down on a server.
HOST: dict[str, Any] = {
    "Memory": GB, "MemorySwap": GB, "NetworkMode": "jupyterhub", "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
    "Binds": [
        "jupyterhub-user-ada:/home/jovyan:rw",
        "/srv/nbgrader/bio/outbound:/srv/nbgrader/exchange/bio/outbound:ro",
        "/srv/nbgrader/bio/inbound/ada:/srv/nbgrader/exchange/bio/inbound:rw",
        "/srv/nbgrader/bio/feedback/ada:/srv/nbgrader/exchange/bio/feedback:ro",
    ],
    "Links": [], "CpuQuota": 100000, "CpuPeriod": 100000, "PidsLimit": 512, "AutoRemove": True, "Init": True, "Mounts": [],
}  # fmt: skip
BODY: dict[str, Any] = {
    "Hostname": None, "Domainname": None, "ExposedPorts": {"8888/tcp": None}, "User": None, "Tty": False,
    "OpenStdin": False, "StdinOnce": False, "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
    "Env": ["JUPYTERHUB_API_TOKEN=abc", "EMPTY="], "Cmd": ["start-singleuser.py"], "Image": "hubrun-singleuser",
    "Volumes": {bind.split(":")[1]: {} for bind in HOST["Binds"]}, "NetworkDisabled": False, "Entrypoint": None,
    "WorkingDir": None, "HostConfig": HOST, "NetworkingConfig": None, "MacAddress": None, "Labels": None,
    "StopSignal": None, "Healthcheck": None, "StopTimeout": None, "Runtime": None,
}  # fmt: skip


def asked(top: dict[str, Any] | None = None, **host: Any) -> dict[str, Any]:
    """The body with other fields, of its own or of HostConfig."""
    return {**BODY, "HostConfig": {**HOST, **host}, **(top or {})}


def made(body: Any, name: str = "jupyter-ada") -> CreateRequest:
    return create(body, name, SITE)


def test_the_body_of_a_dockerspawner_reaches_docker_without_what_says_nothing() -> None:
    kept = {key: HOST[key] for key in HOST if HOST[key] != []}
    found = made(BODY)
    assert found.body == {
        "Image": "hubrun-singleuser", "Cmd": ["start-singleuser.py"], "Env": BODY["Env"],
        "ExposedPorts": {"8888/tcp": None}, "AttachStdout": True, "AttachStderr": True,
        "Labels": {"hubrun.student": "ada"}, "HostConfig": kept,
    }  # fmt: skip
    assert (found.user, found.courses) == ("ada", [Membership("bio", False)])


@pytest.mark.hub
def test_a_real_dockerspawners_bodies_are_let_through(tmp_path: Path) -> None:
    """As on a server: conf.d/40-docker.py in the hub's own Python, for people with names that have to be escaped."""
    script = """
import json, sys
from types import SimpleNamespace
sys.path[:0] = [sys.argv[1]]
from hubrun_hub.programs import check_config
from traitlets.config import Config
c = Config()
text = sys.stdin.read().replace("/usr/local/lib/hubrun", sys.argv[1]).replace("/etc/jupyterhub/docker-filter.json", sys.argv[1] + "/site.json")
scope = {"get_config": lambda: c}
exec(text, scope)
found = []
for name, groups, server in (("ada", [], ""), ("ada-example-edu--4z", ["course-bio"], ""), ("o.brien", ["course-bio-instructors"], "lab 2"), ("ada", ["course-ml"], sys.argv[2])):
    user = SimpleNamespace(name=name, escaped_name=name, url="/", groups=[SimpleNamespace(name=each, properties={"folder": "BIO 101 - Frühling", "lti_context": each[7:]}) for each in groups], settings={"cookie_secret": b"s" * 32})
    spawner = c.JupyterHub.spawner_class(config=c, _mock=True, user=user, orm_spawner=SimpleNamespace(name=server, server=None))
    spawner.course_places = spawner.find_places()
    found.append((spawner.container_name, check_config._create_call(spawner), sorted(spawner.course_places.binds)))
print(json.dumps(found))
"""
    shutil.copytree(HUB, tmp_path / "hubrun_hub")
    ml = CourseParams(course="ml", gpus=2, user_memory_mb=4096, extra_pip_packages=["polars"])
    site = Site(site="x", domain="hub.example.edu", courses=[ml])
    (tmp_path / "site.json").write_text(config.filter_settings(site))
    done = subprocess.run(
        [hub_python(), "-c", script, tmp_path, server_name("BIO 101 - Frühling", "ml")], input=config.render("40-docker.py", site), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    allowed = load(tmp_path / "site.json", tmp_path / "none.json")
    seen = [create(body, name, allowed) for name, body, _ in json.loads(done.stdout)]
    assert [each.user for each in seen] == ["ada", "ada-example-edu--4z", "o.brien", "ada"]
    assert [len(each.body["HostConfig"]["Binds"]) for each in seen] == [1, 4, 7, 4]
    own, course = seen[0].body, seen[3].body
    assert "DeviceRequests" not in own["HostConfig"] and own["HostConfig"]["Memory"] == GB
    assert course["HostConfig"]["DeviceRequests"] == [{"Count": 2, "Capabilities": [["gpu"]]}]
    assert course["HostConfig"]["Memory"] == 4 * GB and course["Image"] == f"hubrun-singleuser{ml.image_suffix}"
    assert seen[2].courses == [Membership("bio", False)]


GPU = {"Driver": "", "Count": 1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
REQUESTS: dict[str, tuple[int, Any, str]] = {
    "none on this site": (0, [GPU], "is not allowed: no course has `gpus`"),
    "more than a course has": (1, [{**GPU, "Count": 2}], "Count must be from 1 to 1"),
    "all": (4, [{**GPU, "Count": -1}], "Count must be from 1 to 4"),
    "none": (4, [{**GPU, "Count": 0}], "Count must be from 1 to 4"),
    "one by its name": (4, [{**GPU, "Count": 0, "DeviceIDs": ["GPU-1"]}], "DeviceIDs is not allowed"),
    "another driver": (4, [{**GPU, "Driver": "cdi"}], "Driver is not allowed"),
    "options": (4, [{**GPU, "Options": {"a": "b"}}], "Options is not allowed"),
    "other abilities": (4, [{**GPU, "Capabilities": [["gpu", "display"]]}], "Capabilities must be"),
    "two requests": (4, [GPU, GPU], "must be one request"),
    "no list": (4, {"0": GPU}, "must be one request"),
    "no object": (4, ["all"], "must be an object"),
}


@pytest.mark.parametrize(("most", "value", "reason"), REQUESTS.values(), ids=REQUESTS.keys())
def test_no_other_devices_than_a_number_of_gpus(most: int, value: Any, reason: str) -> None:
    with pytest.raises(Refused, match=re.escape(reason)):
        create(asked(DeviceRequests=value), "jupyter-ada", replace(SITE, gpus=most))


def test_a_number_of_gpus_is_let_through() -> None:
    found = create(asked(DeviceRequests=[GPU]), "jupyter-ada", replace(SITE, gpus=2)).body["HostConfig"]
    assert found["DeviceRequests"] == [{"Count": 1, "Capabilities": [["gpu"]]}]


def test_a_container_may_get_what_any_course_gives_and_the_operators_limit_is_the_last_word(tmp_path: Path) -> None:
    file, local = tmp_path / "site.json", tmp_path / "local.json"
    courses = [
        {"course": "a", "user_memory_mb": 4096, "user_processes": 9},
        {"course": "b", "staff_cpus": 6.0, "gpus": 2},
    ]
    site = {"images": ["class"], "network": "n", "memory_mb": 1024, "cpus": 1.0, "processes": 512}
    file.write_text(json.dumps({**site, "course_settings": courses}))
    found = load(file, local)
    assert (found.memory_mb, found.cpus, found.processes, found.gpus) == (4096, 6.0, 512, 2)
    local.write_text('{"memory_mb": 2048}')
    assert load(file, local).memory_mb == 2048
    file.write_text(json.dumps(site))
    assert load(file, tmp_path / "none").gpus == 0


# Of the settings that other parts of a site may add to the spawner's.
ALLOWED: dict[str, dict[str, Any]] = {
    "a disk that cannot be written to, and room in memory": {"ReadonlyRootfs": True, "Tmpfs": {"/tmp": "rw,nosuid,nodev,size=256m,mode=1777", "/run": "size=8m"}},
    "limits of a process": {"Ulimits": [{"Name": "nofile", "Soft": 4096, "Hard": 8192}, {"Name": "core", "Soft": 0, "Hard": 0}]},
    "it goes first when memory runs out": {"OomScoreAdj": 500},
    "shared memory": {"ShmSize": 64 * 2**20},
    "names": {"Dns": ["9.9.9.9", "2620:fe::fe"], "DnsSearch": ["example.edu"], "DnsOptions": ["ndots:1"]},
    "what the operator allows, less than that too": {"Binds": ["/srv/data:/data:ro", "shared:/shared:rw", "shared:/once:ro"]},
    "half a processor, in longer pieces": {"CpuPeriod": 200000, "CpuQuota": 100000},
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_what_makes_a_container_smaller_is_let_through_word_for_word(name: str) -> None:
    found = made(asked({"Volumes": {}}, **ALLOWED[name])).body["HostConfig"]
    assert {key: found[key] for key in ALLOWED[name]} == ALLOWED[name]


HOME = "jupyterhub-user-ada:/home/jovyan:rw"
# What would make the hub's account root, or reach another's files → the reason, which has to be this one.
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "all privileges": (asked(Privileged=True), "HostConfig.Privileged is not allowed"),
    "one capability": (asked(CapAdd=["SYS_ADMIN"]), "HostConfig.CapAdd is not allowed"),
    "capabilities are kept": (asked(CapDrop=[]), "HostConfig.CapDrop must be ['ALL'], not []"),
    "some capabilities are kept": (asked(CapDrop=["NET_RAW"]), "HostConfig.CapDrop must be"),
    "capabilities in small letters": (asked(CapDrop=None, capdrop=["ALL"]), "HostConfig.capdrop is not allowed"),
    "new privileges": (asked(SecurityOpt=[]), "HostConfig.SecurityOpt must have no-new-privileges"),
    "no seccomp": (asked(SecurityOpt=["no-new-privileges", "seccomp=unconfined"]), "'seccomp=unconfined' is not allowed"),
    "no AppArmor": (asked(SecurityOpt=["no-new-privileges", "apparmor=unconfined"]), "'apparmor=unconfined' is not allowed"),
    "/proc without masks": (asked(SecurityOpt=["no-new-privileges", "systempaths=unconfined"]), "'systempaths=unconfined'"),
    "new privileges by its other value": (asked(SecurityOpt=["no-new-privileges:false"]), "'no-new-privileges:false' is not allowed"),
    "masks of others": (asked(MaskedPaths=["/x"]), "HostConfig.MaskedPaths is not allowed"),
    "the host's processes": (asked(PidMode="host"), "HostConfig.PidMode is not allowed"),
    "the host's network": (asked(NetworkMode="host"), "HostConfig.NetworkMode must be 'jupyterhub', not 'host'"),
    "another container's network": (asked(NetworkMode="container:db"), "HostConfig.NetworkMode must be"),
    "Docker's default network": (asked(NetworkMode=None), "HostConfig.NetworkMode must be 'jupyterhub', not None"),
    "the host's IPC": (asked(IpcMode="host"), "HostConfig.IpcMode is not allowed"),
    "the host's name": (asked(UTSMode="host"), "HostConfig.UTSMode is not allowed"),
    "the host's users": (asked(UsernsMode="host"), "HostConfig.UsernsMode is not allowed"),
    "the host's cgroups": (asked(CgroupnsMode="host"), "HostConfig.CgroupnsMode is not allowed"),
    "another place among the cgroups": (asked(CgroupParent="/"), "HostConfig.CgroupParent is not allowed"),
    "a second network": (asked({"NetworkingConfig": {"EndpointsConfig": {"bridge": {}}}}), "NetworkingConfig is not allowed"),
    "a port of the server": (asked(PortBindings={"8888/tcp": [{"HostPort": "80"}]}), "HostConfig.PortBindings is not allowed"),
    "all ports": (asked(PublishAllPorts=True), "HostConfig.PublishAllPorts is not allowed"),
    "the whole disk": (asked(Binds=[HOME, "/:/mnt:rw"]), "'/:/mnt:rw' is not of ada"),
    "the whole disk, read": (asked(Binds=["/:/mnt:ro"]), "is not of "),
    "Docker's socket": (asked(Binds=["/run/docker.sock:/d:rw"]), "is not of "),
    "all courses": (asked(Binds=["/srv/nbgrader:/srv/nbgrader:rw"]), "is not of "),
    "out of the courses": (asked(Binds=["/srv/nbgrader/bio/../../../etc:/x:rw"]), "is not of "),
    "out of a course": (asked(Binds=["/srv/nbgrader/..:/x:rw"]), "is not of "),
    "another's submissions": (asked(Binds=[HOME, "/srv/nbgrader/bio/inbound/ben:/srv/nbgrader/exchange/bio/inbound:rw"]), "is not of ada"),
    "feedback, to write to": (asked(Binds=[HOME, "/srv/nbgrader/bio/feedback/ada:/srv/nbgrader/exchange/bio/feedback:rw"]), "may only be one of /srv/nbgrader/bio/feedback/ada:/srv/nbgrader/exchange/bio/feedback:ro"),
    "everybody's submissions, to write to": (asked(Binds=[HOME, "/srv/nbgrader/bio/inbound:/srv/nbgrader/inbound/bio:rw"]), "may only be one of"),
    "a course over the system": (asked(Binds=[HOME, "/srv/nbgrader/bio/course:/etc:rw"]), "may only be one of"),
    "another's home": (asked(Binds=[HOME, "jupyterhub-user-ben:/home/jovyan:rw"]), "'jupyterhub-user-ben' is not of the same user as 'jupyterhub-user-ada'"),
    "another's volume": (asked(Binds=["database:/x:rw"]), "is not of "),
    "their home over the system": (asked(Binds=["jupyterhub-user-ada:/usr:rw"]), "may only be one of jupyterhub-user-ada:/home/jovyan:rw"),
    "a mount that spreads": (asked(Binds=[f"{HOME},rshared"]), "may only be one of"),
    "labels of a disk": (asked(Binds=[f"{HOME}:Z"]), "must be SOURCE:TARGET:MODE"),
    "a bind in two parts": (asked(Binds=["/:/mnt"]), "must be SOURCE:TARGET:MODE"),
    "a bind that is none": (asked(Binds=[{"/": "/mnt"}]), "HostConfig.Binds must be a list of texts"),
    "more than the operator allows": (asked(Binds=["/srv/data:/data:rw"]), "allows this one as 'ro'"),
    "the operator's folder over the kernel's": (asked(Binds=["/srv/data:/proc:ro"]), "cannot be mounted there"),
    "the operator's folder over everything": (asked(Binds=["/srv/data:/:ro"]), "cannot be mounted there"),
    "the operator's folder over something else": (asked(Binds=["/srv/data:/data/../etc:ro"]), "cannot be mounted there"),
    "a folder below the operator's": (asked(Binds=["/srv/data/..:/data:ro"]), "is not of "),
    "a mount of the other kind": (asked(Mounts=[{"Type": "bind", "Source": "/", "Target": "/mnt"}]), "HostConfig.Mounts is not allowed"),
    "a volume with a driver": (
        asked(Mounts=[{"Type": "volume", "Target": "/mnt", "VolumeOptions": {"DriverConfig": {"Options": {"type": "none", "o": "bind", "device": "/"}}}}]),
        "HostConfig.Mounts is not allowed",
    ),
    "another driver of volumes": (asked(VolumeDriver="evil"), "HostConfig.VolumeDriver is not allowed"),
    "a volume for good": (asked({"Volumes": {"/forgotten": {}}}), "'/forgotten' is not the target"),
    "the volumes of another": (asked(VolumesFrom=["db"]), "HostConfig.VolumesFrom is not allowed"),
    "a link": (asked(Links=["db:db"]), "HostConfig.Links is not allowed"),
    "a device": (asked(Devices=[{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]), "HostConfig.Devices is not allowed"),
    "every device": (asked(DeviceCgroupRules=["a *:* rwm"]), "HostConfig.DeviceCgroupRules is not allowed"),
    "a graphics processor": (asked(DeviceRequests=[{"Count": -1}]), "HostConfig.DeviceRequests is not allowed"),
    "the kernel's settings": (asked(Sysctls={"kernel.core_pattern": "|/x"}), "HostConfig.Sysctls is not allowed"),
    "another runtime": (asked(Runtime="evil"), "HostConfig.Runtime is not allowed"),
    "another runtime, above": (asked({"Runtime": "evil"}), "Runtime is not allowed"),
    "a group of the host": (asked(GroupAdd=["docker"]), "HostConfig.GroupAdd is not allowed"),
    "root": (asked({"User": "root"}), "User is not allowed"),
    "root by number": (asked({"User": "0:0"}), "User is not allowed"),
    "root, in small letters": (asked({"user": "root"}), "user is not allowed"),
    "HostConfig twice": (asked({"hostconfig": {"Privileged": True}}), "hostconfig is not allowed"),
    "another image": (asked({"Image": "alpine"}), "Image must be 'hubrun-singleuser', not 'alpine': add it to \"images\" in"),
    "an image by its digest": (asked({"Image": "sha256:" + "a" * 64}), "Image must be"),
    "no image": (asked({"Image": None}), "Image must be"),
    "another program first": (asked({"Entrypoint": ["/bin/sh"]}), "Entrypoint is not allowed"),
    "labels for others' tools": (asked({"Labels": {"traefik.enable": "true"}}), "Labels is not allowed"),
    "a check of its own": (asked({"Healthcheck": {"Test": ["CMD", "x"]}}), "Healthcheck is not allowed"),
    "no limit of memory": (asked(Memory=None), "HostConfig.Memory must be from 1 to 1073741824, not None"),
    "memory without end": (asked(Memory=0), "HostConfig.Memory must be from 1"),
    "more memory": (asked(Memory=GB + 1), '"memory_mb" raises it'),
    "swap without end": (asked(MemorySwap=-1), "HostConfig.MemorySwap must be"),
    "no limit of swap": (asked(MemorySwap=None), "HostConfig.MemorySwap must be"),
    "no limit of processes": (asked(PidsLimit=-1), "HostConfig.PidsLimit must be from 1 to 512"),
    "more processes": (asked(PidsLimit=513), '"processes" raises it'),
    "all processors": (asked(CpuQuota=-1), "HostConfig.CpuQuota must be from 1000 to 100000"),
    "more processors by shorter pieces": (asked(CpuPeriod=1000, CpuQuota=100000), "HostConfig.CpuQuota must be from 1000 to 1000"),
    "a number that is a text": (asked(Memory="1"), "HostConfig.Memory must be"),
    "a number that is true": (asked(PidsLimit=True), "HostConfig.PidsLimit must be"),
    "it goes last when memory runs out": (asked(OomScoreAdj=-1000), "HostConfig.OomScoreAdj must be from 0 to 1000"),
    "it does not go when memory runs out": (asked(OomKillDisable=True), "HostConfig.OomKillDisable is not allowed"),
    "shared memory without end": (asked(ShmSize=GB + 1), "HostConfig.ShmSize must be"),
    "memory for files over the system": (asked(Tmpfs={"/usr": "size=1m"}), "'/usr' is not one of /tmp"),
    "memory for files, with devices": (asked(Tmpfs={"/tmp": "size=1m,dev"}), "'dev' is not allowed"),
    "memory for files without end": (asked(Tmpfs={"/tmp": "rw"}), "/tmp must have a size="),
    "locked memory without end": (asked(Ulimits=[{"Name": "memlock", "Soft": -1, "Hard": -1}]), "HostConfig.Ulimits.Hard must be"),
    "an unknown limit": (asked(Ulimits=[{"Name": "rtprio", "Soft": 1, "Hard": 1}]), "HostConfig.Ulimits.Name must be"),
    "a log elsewhere": (asked(LogConfig={"Type": "syslog", "Config": {"syslog-address": "tcp://x"}}), "HostConfig.LogConfig is not allowed"),
    "it starts again for ever": (asked(RestartPolicy={"Name": "always"}), "HostConfig.RestartPolicy is not allowed"),
    "a name with a path": (asked({"Hostname": "../x"}), "Hostname: '../x' is not allowed"),
    "a body that is a list": ([BODY], "the body must be an object"),
    "limits that are a list": (asked({"HostConfig": []}), "HostConfig must be an object"),
    "a variable without a name": (asked({"Env": ["=x"]}), "Env: '' is not the name of a variable"),
    "a command that is a text": (asked({"Cmd": "rm -rf /"}), "Cmd must be a list of texts"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_be_root_or_anothers_is_refused_for_this_reason(name: str) -> None:
    body, reason = HOSTILE[name]
    with pytest.raises(Refused) as refused:
        made(body)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "name", ["", "ada", "jupyter-", "jupyter-ADA", "jupyter-a_b", "jupyter-../x", "jupyter-ada/json", "x-jupyter-ada", "jupyter-ada\n"]
)  # fmt: skip
def test_only_a_students_container_can_be_made(name: str) -> None:
    with pytest.raises(Refused, match="is not of a student's container"):
        made(BODY, name)


@pytest.mark.parametrize(
    ("volume", "user"),
    [("jupyterhub-user-ada", "ada"), ("jupyterhub-user-o-2ebrien", "o.brien"), ("jupyterhub-user-a-2d-2db", "a--b"), ("jupyterhub-user-j-c3-bcrgen", "jürgen"), ("jupyterhub-user-a-", ""), ("x-jupyterhub-user-ada", "")],
)  # fmt: skip
def test_the_volume_of_the_home_says_whose_container_it_is(volume: str, user: str) -> None:
    assert user_of([f"{volume}:/home/jovyan:rw", "/srv/data:/data:ro"])[0] == user


def test_a_container_without_a_home_gets_no_course() -> None:
    with pytest.raises(Refused, match="is not of the student"):
        made(asked({"Volumes": {}}, Binds=HOST["Binds"][1:]))
    assert made(asked({"Volumes": {}}, Binds=[])).body["Labels"] == {"hubrun.student": ""}


def test_without_courses_none_of_their_folders_is_mounted() -> None:
    site = Settings(("hubrun-singleuser",), "jupyterhub", 1024, 1.0, 512)
    with pytest.raises(Refused, match="is not of "):
        create(BODY, "jupyter-ada", site)


def test_every_place_of_a_teacher_is_let_through() -> None:
    binds = binds_of(Membership("bio", True))
    assert made(asked({"Volumes": {}}, Binds=binds)).body["HostConfig"]["Binds"] == binds


def binds_of(*members: Membership) -> list[str]:
    return [HOME] + [f"{source}:{to['bind']}:{to['mode']}" for source, to in places("ada", members).binds.items()]


@pytest.mark.parametrize("teaches", [False, True])
def test_a_course_may_have_a_name_that_people_read(teaches: bool) -> None:
    binds = binds_of(Membership("bio", teaches, "BIO 101 - Frühling"), Membership("chem", teaches))
    found = made(asked({"Volumes": {}}, Binds=binds))
    assert found.body["HostConfig"]["Binds"] == binds
    assert found.courses == [Membership("bio", False), Membership("chem", False)]


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        # Another's submissions, somewhere else, or to be written to: whatever the course is called.
        ("/srv/nbgrader/bio/inbound/ben:/srv/nbgrader/exchange/BIO 101/inbound:rw", "is not of ada"),
        ("/srv/nbgrader/bio/outbound:/srv/nbgrader/exchange/BIO 101:ro", "may only be one of"),
        ("/srv/nbgrader/bio/outbound:/srv/nbgrader/exchange/../outbound:ro", "may only be one of"),
        ("/srv/nbgrader/bio/outbound:/srv/nbgrader/exchange/BIO/101/outbound:ro", "may only be one of"),
        ("/srv/nbgrader/bio/outbound:/srv/nbgrader/exchange/.x/outbound:ro", "may only be one of"),
        ("/srv/nbgrader/bio/feedback/ada:/srv/nbgrader/exchange/BIO 101/feedback:rw", "may only be one of"),
        ("/srv/nbgrader/bio/outbound:/home/jovyan/BIO 101/outbound:ro", "may only be one of"),
        ("/srv/nbgrader/bio:/srv/nbgrader/exchange/BIO 101/outbound:ro", "is not of ada"),
    ],
)
def test_a_name_of_a_course_leads_nowhere_else(bind: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        made(asked({"Volumes": {}}, Binds=[HOME, bind]))


KNOWN = {
    *BODY,
    *HOST,
    *(key for each in ALLOWED.values() for key in each),
    "CpuShares",
    "MemoryReservation",
    "StopTimeout",
}
VALUES = st.one_of(
    st.just(True), st.integers(1), st.text(min_size=1), st.lists(st.text(), min_size=1), st.dictionaries(st.text(), st.text(), min_size=1)
)  # fmt: skip


@pytest.mark.slow
@settings(deadline=None)
@given(name=st.text().filter(lambda name: name not in KNOWN), value=VALUES, above=st.booleans())
def test_an_unknown_field_is_refused(name: str, value: Any, above: bool) -> None:
    body = asked({name: value}) if above else asked(**{"Init": True}) | {"HostConfig": {**HOST, name: value}}
    with pytest.raises(Refused, match="is not allowed"):
        made(body)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3), max_leaves=6)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(field=st.sampled_from(sorted(KNOWN)), value=JSON)
def test_whatever_is_in_a_field_a_container_is_bounded_or_refused(field: str, value: Any) -> None:
    body = asked({field: value}) if field in BODY else asked(**{field: value})
    try:
        found = made(body).body
    except Refused:
        return
    host = found["HostConfig"]
    assert host["CapDrop"] == ["ALL"] and host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == "jupyterhub" and found["Image"] == "hubrun-singleuser"
    assert 0 < host["Memory"] <= GB and 0 < host["MemorySwap"] <= GB and 0 < host["PidsLimit"] <= 512
    assert 0 < host["CpuQuota"] <= host["CpuPeriod"]
    assert (
        not {"Privileged", "CapAdd", "Devices", "PidMode", "Mounts", "VolumesFrom", "UsernsMode", "Runtime"}
        & host.keys()
    )
    assert not {"User", "Entrypoint", "NetworkingConfig", "Runtime"} & found.keys()
    assert all(
        bind.split(":")[0] in ("jupyterhub-user-ada", "/srv/data", "shared") or "/ada:" in bind or "/outbound:" in bind
        for bind in host["Binds"]
    )


# -- calls

NUMBER = "a" * 64
TEST_STUDENT = test_student.name("535fa0")
TEST_VOLUME = student_volume.volume(TEST_STUDENT)
CALLS: dict[tuple[str, str], str] = {
    ("GET", "/version"): "/version",
    ("GET", "/_ping"): "/_ping",
    ("GET", "/v1.41/version"): "/v1.41/version",
    ("GET", "/v1.41/images/hubrun-singleuser/json"): "/v1.41/images/hubrun-singleuser/json",
    # As docker-py asks (APIClient.containers).
    ("GET", "/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0&filters=%7B%22label%22%3A+%5B%22hubrun.student%22%5D%7D"): "/v1.41/containers/json?all=1&filters=%7B%22label%22%3A+%5B%22hubrun.student%22%5D%7D",
    ("POST", "/v1.47/containers/create?name=jupyter-ada"): "/v1.47/containers/create?name=jupyter-ada",
    ("GET", "/v1.41/containers/jupyter-ada/json"): "/v1.41/containers/{name}/json",
    ("POST", f"/v1.41/containers/{NUMBER}/start"): "/v1.41/containers/{name}/start",
    ("POST", f"/v1.41/containers/{NUMBER}/stop"): "/v1.41/containers/{name}/stop",
    ("POST", f"/v1.41/containers/{NUMBER}/stop?t=10"): "/v1.41/containers/{name}/stop?t=10",
    # As docker-py asks (APIClient.logs).
    ("GET", f"/v1.41/containers/{NUMBER}/logs?stderr=1&stdout=1&timestamps=0&follow=0&tail=20"): "/v1.41/containers/{name}/logs?stderr=1&stdout=1&timestamps=0&follow=0&tail=20",
    ("DELETE", f"/v1.41/containers/{NUMBER}?v=True&link=False&force=False"): "/v1.41/containers/{name}?v=True&link=False&force=False",
    ("DELETE", f"/v1.41/volumes/{TEST_VOLUME}"): f"/v1.41/volumes/{TEST_VOLUME}",
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_the_calls_of_a_dockerspawner_are_known(call: tuple[str, str]) -> None:
    assert calls.parse_call(*call, SITE).path == CALLS[call]


NOT_NEEDED = "the hub does not need this call"
FOREIGN: dict[tuple[str, str], str] = {
    ("POST", "/v1.41/containers/jupyter-ada/exec"): NOT_NEEDED,
    ("POST", "/v1.41/exec/abc/start"): NOT_NEEDED,
    ("POST", "/v1.41/containers/jupyter-ada/attach"): NOT_NEEDED,
    ("GET", "/v1.41/containers/jupyter-ada/attach/ws"): NOT_NEEDED,
    ("GET", "/v1.41/containers/jupyter-ada/archive?path=/"): NOT_NEEDED,
    ("PUT", "/v1.41/containers/jupyter-ada/archive?path=/"): NOT_NEEDED,
    ("GET", "/v1.41/containers/jupyter-ada/export"): NOT_NEEDED,
    ("POST", "/v1.41/containers/jupyter-ada/update"): NOT_NEEDED,
    ("POST", "/v1.41/containers/jupyter-ada/rename?name=x"): NOT_NEEDED,
    ("GET", "/v1.41/containers/json?all=1"): NOT_NEEDED,
    ("GET", "/v1.41/containers/json"): NOT_NEEDED,
    ("GET", "/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0&filters=%7B%22label%22%3A+%5B%22x%22%5D%7D"): "is not allowed",
    ("GET", "/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0"): NOT_NEEDED,
    ("POST", "/v1.41/containers/prune"): NOT_NEEDED,
    ("POST", "/v1.41/build"): NOT_NEEDED,
    ("POST", "/v1.41/commit?container=x"): NOT_NEEDED,
    ("POST", "/v1.41/images/create?fromImage=x"): NOT_NEEDED,
    ("POST", "/v1.41/images/load"): NOT_NEEDED,
    ("POST", "/v1.41/images/hubrun-singleuser/tag?repo=x"): NOT_NEEDED,
    ("DELETE", "/v1.41/images/hubrun-singleuser"): NOT_NEEDED,
    ("GET", "/v1.41/images/json"): "the image '' is not one of",
    ("GET", "/v1.41/images/alpine/json"): "the image 'alpine' is not one of",
    ("GET", "/v1.41/images/../containers/db/json"): "the image '../containers/db' is not one of",
    ("GET", "/v1.41/images/hubrun-singleuser/json?x=1"): NOT_NEEDED,
    ("POST", "/v1.41/volumes/create"): NOT_NEEDED,
    ("DELETE", "/v1.41/volumes/jupyterhub-user-ada"): "'jupyterhub-user-ada' is not a Test Student's",
    ("DELETE", "/v1.41/volumes/jupyterhub-user-test-2dstudent"): "is not a Test Student's",
    ("DELETE", f"/v1.41/volumes/{TEST_VOLUME.replace('-2d-2d-2d', '-2d-2d')}"): "is not a Test Student's",
    ("DELETE", f"/v1.41/volumes/{TEST_VOLUME.replace('-2dstudent', '-2Dstudent')}"): "is not a Test Student's",
    ("DELETE", f"/v1.41/volumes/x{TEST_VOLUME}"): "is not a Test Student's",
    ("DELETE", f"/v1.41/volumes/{TEST_VOLUME}%2f..%2fjupyterhub-user-ada"): "is not a Test Student's",
    ("DELETE", f"/v1.41/volumes/{TEST_VOLUME}?force=1"): NOT_NEEDED,
    ("GET", f"/v1.41/volumes/{TEST_VOLUME}"): NOT_NEEDED,
    ("POST", "/v1.41/networks/create"): NOT_NEEDED,
    ("POST", "/v1.41/networks/jupyterhub/connect"): NOT_NEEDED,
    ("POST", "/v1.41/plugins/pull?remote=x"): NOT_NEEDED,
    ("POST", "/v1.41/swarm/init"): NOT_NEEDED,
    ("POST", "/v1.41/services/create"): NOT_NEEDED,
    ("GET", "/v1.41/info"): NOT_NEEDED,
    ("GET", "/v1.41/secrets"): NOT_NEEDED,
    ("POST", "/v1.41/session"): NOT_NEEDED,
    ("POST", "/grpc"): "only version 1.41",
    ("POST", "/containers/create?name=jupyter-ada"): "only version 1.41",
    ("POST", "/v1.24/containers/create?name=jupyter-ada"): "only version 1.41",
    ("POST", "/v1.41/containers/create"): "the name '' is not of a student's container",
    ("POST", "/v1.41/containers/create?name=db"): "the name 'db' is not of a student's container",
    ("POST", "/v1.41/containers/create?name=jupyter-a&name=db"): "name=db is not allowed",
    ("POST", "/v1.41/containers/create?name=jupyter-a&platform=linux/arm64"): "platform=linux/arm64 is not allowed",
    ("POST", "/v1.41/containers/jupyter-ada%2f..%2fdb/start"): NOT_NEEDED,
    ("POST", "/v1.41/containers/../start"): NOT_NEEDED,
    ("POST", "/v1.41/containers/jupyter-ada/start?detachKeys=x"): "detachKeys=x is not allowed",
    ("POST", "/v1.41/containers/jupyter-ada/start?checkpoint=x"): "checkpoint=x is not allowed",
    ("POST", "/v1.41/containers/jupyter-ada/stop?t=-1"): "t must be a number of seconds",
    ("GET", "/v1.41/containers/jupyter-ada/logs?stdout=1&follow=1"): "follow=1 is not allowed",
    ("GET", "/v1.41/containers/jupyter-ada/logs?stdout=1&tail=all"): "tail=all is not allowed",
    ("DELETE", "/v1.41/containers/jupyter-ada?link=true"): "link=true is not allowed",
    ("GET", "http://docker/version"): "not a path of Docker's interface",
    ("GET", "/v1.41/images/\u00e4/json"): "not a path of Docker's interface",
}  # fmt: skip


@pytest.mark.parametrize("call", FOREIGN)
def test_every_other_call_is_refused(call: tuple[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        calls.parse_call(*call, SITE)
    assert FOREIGN[call] in str(refused.value)


def container(name: str = "/jupyter-ada", network: str = "jupyterhub", **labels: str) -> dict[str, Any]:
    return {"Id": NUMBER, "Name": name, "HostConfig": {"NetworkMode": network}, "Config": {"Labels": labels or None}}


LABEL = {"hubrun.student": "ada"}
STOP = calls.DockerCall("container", "POST", "/v1.41/containers/{name}/stop", "jupyter-ada")
START = STOP._replace(path="/v1.41/containers/{name}/start", starts=True)


def test_a_students_container_can_be_stopped_and_one_that_was_made_here_started() -> None:
    assert calls.check_container(container(**LABEL), START, SITE) == NUMBER
    # One that ran before there was a filter.
    assert calls.check_container(container(), STOP, SITE) == NUMBER
    with pytest.raises(Refused, match="was not made through this service"):
        calls.check_container(container(), START, SITE)


@pytest.mark.parametrize(
    "seen",
    [
        container("/db"),
        container("/db", **LABEL),
        container(network="bridge"),
        container(network="host", **LABEL),
        {},
        None,
        [],
    ],
)
def test_a_container_that_is_no_students_is_left_alone(seen: Any) -> None:
    with pytest.raises(Refused):
        calls.check_container(seen, STOP, SITE)


# -- settings


def write(folder: Path, local: str) -> tuple[Path, Path]:
    paths = folder / "site.json", folder / "local.json"
    paths[0].write_text(config.filter_settings(Site(site="x", domain="hub.example.edu", user_cpus=0.5)))
    paths[1].write_text(local)
    return paths


def test_the_operators_settings_add_to_the_sites(tmp_path: Path) -> None:
    paths = write(tmp_path, '{"images": ["r-notebook"], "mounts": {"/srv/data": "ro"}, "memory_mb": 4096, "cpus": 2}')
    found = load(*paths)
    assert found.images == ("hubrun-singleuser", "hubrun-singleuser:candidate", "r-notebook")
    assert found.mounts == {"/srv/data": "ro"}
    assert (found.memory_mb, found.cpus, found.processes, found.courses) == (4096, 2.0, 512, "/srv/nbgrader")


@pytest.mark.parametrize(
    ("local", "reason"),
    [("{", "cannot be read"), ("[]", "must be a JSON object"), ('{"network": "host"}', "network cannot be set there"),
     ('{"memory_mb": "much"}', "is not what it should be"), ('{"mounts": ["/"]}', "is not what it should be"), ('{"images": 5}', "is not what it should be")],
)  # fmt: skip
def test_a_mistake_in_the_operators_settings_is_named(tmp_path: Path, local: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        load(*write(tmp_path, local))


# -- the service

Exchange = Callable[[bytes], Awaitable[tuple[int, str]]]


class Docker:
    """Stands in for the daemon: remembers what it was asked, and knows two containers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.pause = asyncio.Event()
        self.pause.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        body = await reader.readexactly(length)
        line = head.splitlines()[0].removesuffix(" HTTP/1.0")
        self.asked.append((line, json.loads(body) if body else None))
        await self.pause.wait()
        known = {"jupyter-ada": container(**LABEL), NUMBER: container(**LABEL), "db": container("/db")}
        name = line.split("/")[3] if line.count("/") > 3 else ""
        found: Any = {"Id": NUMBER}
        if line.startswith("DELETE") and "/volumes/" in line:
            found = None
        if line.endswith("/json") and "/containers/" in line:
            found = known.get(name)
        answer = json.dumps(found or {"message": "No such container"}).encode()
        writer.write(f"HTTP/1.0 {200 if found else 404} OK\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def running(folder: Path, docker: Docker | None, allowed: Settings = SITE) -> AsyncIterator[Exchange]:
    upstream, path = str(folder / "docker.sock"), str(folder / "filter.sock")
    daemon = await asyncio.start_unix_server(docker.serve, upstream) if docker else None
    service = serve.Filter(upstream, lambda: allowed)
    server = await asyncio.start_unix_server(service.connected, path, limit=serve._HEAD_BYTES)

    async def exchange(data: bytes) -> tuple[int, str]:
        reader, writer = await asyncio.open_unix_connection(path)
        with suppress(OSError):  # it may have been refused by then
            writer.write(data)
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    yield exchange
    server.close()
    if daemon:
        daemon.close()


def request(method: str, path: str, body: Any = None) -> bytes:
    data = json.dumps(body).encode() if body is not None else b""
    return f"{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def test_a_container_is_made_with_the_body_that_was_built_and_its_courses_are_there_before(tmp_path: Path) -> None:
    async def go() -> None:
        docker = Docker()
        root = tmp_path / "nbgrader"
        root.mkdir(mode=0o700)
        binds = [bind.replace("/srv/nbgrader/bio", f"{root}/bio") for bind in HOST["Binds"]]
        allowed = Settings(("hubrun-singleuser",), "jupyterhub", 1024, 1.0, 512, str(root))
        async with running(tmp_path, docker, allowed) as exchange:
            assert await exchange(request("POST", "/v1.41/containers/create?name=jupyter-ada", asked(Binds=binds))) == (
                200,
                json.dumps({"Id": NUMBER}),
            )
        [(line, body)] = docker.asked
        assert line == "POST /v1.41/containers/create?name=jupyter-ada"
        assert body["HostConfig"]["Binds"] == binds and body["Labels"] == LABEL
        assert (root / "bio/inbound/ada").is_dir()

    asyncio.run(go())


def test_folders_that_cannot_be_made_are_said_to_be_the_courses_and_no_container_is_made(tmp_path: Path) -> None:
    async def go() -> None:
        docker = Docker()
        async with running(
            tmp_path, docker, Settings(SITE.images, "jupyterhub", 1024, 1.0, 512, str(tmp_path / "none"))
        ) as exchange:
            binds = [bind.replace("/srv/nbgrader/bio", f"{tmp_path}/none/bio") for bind in HOST["Binds"]]
            status, text = await exchange(
                request("POST", "/v1.41/containers/create?name=jupyter-ada", asked(Binds=binds))
            )
        assert status == 409 and json.loads(text)["message"].startswith("courses: ") and docker.asked == []

    asyncio.run(go())


def test_a_container_is_asked_whose_it_is_and_then_called_by_its_number(tmp_path: Path) -> None:
    async def go() -> None:
        docker = Docker()
        async with running(tmp_path, docker) as exchange:
            assert (await exchange(request("POST", "/v1.41/containers/jupyter-ada/stop")))[0] == 200
            assert [line for line, _ in docker.asked] == [
                "GET /v1.41/containers/jupyter-ada/json",
                f"POST /v1.41/containers/{NUMBER}/stop",
            ]
            docker.asked.clear()
            status, text = await exchange(request("DELETE", "/v1.41/containers/db?force=True"))
            assert status == 403 and "the name 'db' is not of a student's container" in text
            assert [line for line, _ in docker.asked] == ["GET /v1.41/containers/db/json"]
            assert (await exchange(request("GET", "/v1.41/containers/gone/json")))[0] == 404
            status, text = await exchange(request("GET", "/v1.41/containers/jupyter-ada/json"))
            assert status == 200 and json.loads(text)["Name"] == "/jupyter-ada"

    asyncio.run(go())


def test_a_test_students_volume_goes_and_then_their_folders(tmp_path: Path) -> None:
    async def go() -> None:
        docker = Docker()
        root = tmp_path / "nbgrader"
        root.mkdir(mode=0o700)
        folders.make(root, TEST_STUDENT, ONE)
        folders.make(root, "ada", ONE)
        (root / "bio/inbound/ada/ps1").write_text("kept")
        allowed = Settings(("hubrun-singleuser",), "jupyterhub", 1024, 1.0, 512, str(root))
        async with running(tmp_path, docker, allowed) as exchange:
            assert (await exchange(request("DELETE", "/v1.41/volumes/jupyterhub-user-ada")))[0] == 403
            assert docker.asked == []
            await exchange(request("DELETE", f"/v1.41/volumes/{TEST_VOLUME}"))
        assert [line for line, _ in docker.asked] == [f"DELETE /v1.41/volumes/{TEST_VOLUME}"]
        assert sorted(path.name for path in (root / "bio/inbound").iterdir()) == ["ada"]
        assert sorted(path.name for path in (root / "bio/feedback").iterdir()) == ["ada"]
        assert (root / "bio/inbound/ada/ps1").read_text() == "kept"

    asyncio.run(go())


REQUESTS: dict[str, tuple[bytes, int, str]] = {
    "pieces": (b"POST /v1.41/containers/create?name=jupyter-a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 403, "one length alone"),
    "two lengths": (b"GET /version HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 403, "one length alone"),
    "another protocol": (b"GET /version HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", 403, "one length alone"),
    "a length that is none": (b"GET /version HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 403, "the body may have"),
    "a body that is too long": (b"POST /v1.41/containers/create?name=jupyter-a HTTP/1.1\r\nContent-Length: 300000\r\n\r\n", 403, "the body may have"),
    "a head that is too long": (b"GET /version HTTP/1.1\r\nX: " + b"x" * 20000, 400, "no whole request"),
    "no HTTP": (b"\x16\x03\x01\r\n\r\n", 403, "not a request"),
    "not text": (b"GET /\xff HTTP/1.1\r\n\r\n", 400, "no whole request"),
    "a body where there is none": (b"GET /version HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 403, "has no body"),
    "no JSON": (b"POST /v1.41/containers/create?name=jupyter-a HTTP/1.1\r\nContent-Length: 1\r\n\r\n{", 403, "is not JSON"),
    "JSON without end": (b"POST /v1.41/containers/create?name=jupyter-a HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100000, 403, "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_could_be_read_in_two_ways_or_has_no_end_is_refused(tmp_path: Path, name: str) -> None:
    data, status, reason = REQUESTS[name]

    async def go() -> None:
        docker = Docker()
        async with running(tmp_path, docker) as exchange:
            found, text = await exchange(data)
            assert found == status and reason in text
            assert docker.asked == []

    asyncio.run(go())


def test_what_is_behind_a_request_is_not_another_one(tmp_path: Path) -> None:
    async def go() -> None:
        docker = Docker()
        async with running(tmp_path, docker) as exchange:
            assert (await exchange(request("GET", "/version") + request("POST", "/v1.41/volumes/create", {})))[0] == 200
        assert [line for line, _ in docker.asked] == ["GET /version"]

    asyncio.run(go())


def test_a_client_that_never_ends_its_request_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_REQUEST_S", 1.0)

    async def go() -> None:
        async with running(tmp_path, Docker()) as exchange:
            slow = [asyncio.ensure_future(exchange(b"GET /version HTTP/1.1\r\n")) for _ in range(20)]
            await asyncio.sleep(0.1)
            assert (await asyncio.wait_for(exchange(request("GET", "/version")), 0.5))[0] == 200
            assert {status for status, _ in await asyncio.gather(*slow)} == {400}

    asyncio.run(go())


def test_too_many_at_once_are_told_so_and_the_others_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_CONNECTIONS", 5)

    async def go() -> None:
        docker = Docker()
        docker.pause.clear()
        async with running(tmp_path, docker) as exchange:
            waiting = [asyncio.ensure_future(exchange(request("GET", "/version"))) for _ in range(5)]
            await asyncio.sleep(0.2)
            assert (await exchange(request("GET", "/version")))[0] == 503
            docker.pause.set()
            assert {status for status, _ in await asyncio.gather(*waiting)} == {200}

    asyncio.run(go())


def test_without_docker_the_hub_is_told_so(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, None) as exchange:
            status, text = await exchange(request("GET", "/version"))
            assert status == 502 and "Docker does not answer" in text

    asyncio.run(go())


@pytest.mark.parametrize("looks", [1, 3])
def test_a_network_that_is_gone_at_two_looks_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], looks: int
) -> None:
    """One that runbook 04 makes again is gone for a moment, and not made here with what it had before."""
    monkeypatch.setattr(serve, "_LOOK_S", 0.05)
    allowed = load_text(tmp_path, json.loads(config.filter_settings(Site(site="x", domain="hub.example.edu"))))

    class Networks(Docker):
        gone = looks

        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            body = await reader.readexactly(int(head.lower().partition("content-length: ")[2].split()[0]))
            self.asked.append((head.splitlines()[0], json.loads(body) if body else None))
            status = 200
            if head.startswith("POST"):
                status, self.gone = 201, 0
            elif self.gone:
                status, self.gone = 404, self.gone - 1
            writer.write(f"HTTP/1.0 {status} x\r\n\r\n{{}}".encode())
            await writer.drain()
            writer.close()

    async def go() -> Networks:
        docker = Networks()
        daemon = await asyncio.start_unix_server(docker.serve, str(tmp_path / "docker.sock"))
        service = serve.Filter(str(tmp_path / "docker.sock"), lambda: allowed)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(service.keep_network(), 0.6)
        daemon.close()
        return docker

    docker = asyncio.run(go())
    made = [body for line, body in docker.asked if line == "POST /networks/create HTTP/1.0"]
    wanted = {
        "Name": "jupyterhub", "CheckDuplicate": True, "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": "172.29.0.0/16", "Gateway": "172.29.0.1"}]},
        "Options": {"com.docker.network.bridge.enable_icc": "false"},
    }  # fmt: skip
    assert made == ([wanted] if looks > 1 else [])
    assert ("the network jupyterhub was gone: it is made again" in capsys.readouterr().err) == (looks > 1)
    assert len(docker.asked) > 5, "and it goes on looking"


def test_the_network_is_looked_for_again_after_docker_was_stopped_or_says_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "_LOOK_S", 0.02)
    allowed = load_text(tmp_path, json.loads(config.filter_settings(Site(site="x", domain="hub.example.edu"))))

    refused: list[str] = []

    async def no(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        refused.extend(["POST"] if head.startswith("POST") else [])
        answer = "404 x\r\n\r\n" if head.startswith("GET") else "403 x\r\n\r\nPool overlaps with other one"
        writer.write(f"HTTP/1.0 {answer}".encode())
        await writer.drain()
        writer.close()

    async def go() -> None:
        service = serve.Filter(str(tmp_path / "docker.sock"), lambda: allowed)
        task = asyncio.ensure_future(service.keep_network())
        await asyncio.sleep(0.1)
        daemon = await asyncio.start_unix_server(no, str(tmp_path / "docker.sock"))
        for _ in range(3000):  # a busy machine takes its time
            if len(refused) > 2:
                break
            await asyncio.sleep(0.01)
        task.cancel()
        daemon.close()

    asyncio.run(go())
    assert len(refused) > 2
    assert capsys.readouterr().err.count("Pool overlaps") == 1, "said once, and not every two seconds"


def load_text(folder: Path, site: dict[str, Any]) -> Settings:
    """The settings that a file with these has."""
    (folder / "site.json").write_text(json.dumps(site))
    return load(folder / "site.json", folder / "none.json")


def test_what_is_under_way_when_it_is_stopped_is_brought_to_its_end(tmp_path: Path) -> None:
    """As the unit starts it, in the layout of a server, with a socket from the one who starts it."""
    shutil.copytree(HUB, tmp_path / "hubrun_hub")
    write(tmp_path, "{}")
    script = f"""
import asyncio, socket, sys
from pathlib import Path
sys.path.insert(0, {str(tmp_path)!r})
from hubrun_hub.docker_filter import serve, settings
folder = Path({str(tmp_path)!r})
service = serve.Filter(str(folder / "docker.sock"), lambda: settings.load(folder / "site.json", folder / "local.json"))
asyncio.run(serve.run([socket.socket(fileno=int(sys.argv[1]))], service))
"""

    async def go() -> None:
        docker = Docker()
        docker.pause.clear()
        daemon = await asyncio.start_unix_server(docker.serve, str(tmp_path / "docker.sock"))
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "filter.sock"))
        listening.listen()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            script,
            str(listening.fileno()),
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
        )
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "filter.sock"))
        writer.write(request("GET", "/version"))
        while not docker.asked:
            await asyncio.sleep(0.05)
        process.terminate()
        await asyncio.sleep(0.3)
        docker.pause.set()
        assert b"200 OK" in await asyncio.wait_for(reader.read(), 10)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        writer.close()
        daemon.close()

    asyncio.run(asyncio.wait_for(go(), 30))


# -- the folders of courses

ONE = [Membership("bio", False)]


def modes(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): f"{path.stat().st_mode & 0o7777:o}" for path in root.rglob("*")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "nbgrader"
    root.mkdir(mode=0o700)
    return root


def test_only_leaves_can_be_written_to_whatever_the_umask(root: Path) -> None:
    before = os.umask(0o077)
    try:
        folders.make(root, "ada", ONE)
        folders.make(root, "ben", ONE)
    finally:
        os.umask(before)
    closed = {"bio": "755", "bio/inbound": "755", "bio/feedback": "755"}
    leaves = ["course", "outbound", "feedback/ada", "feedback/ben"]
    hand_ins = {"bio/inbound/ada": "1777", "bio/inbound/ben": "1777"}
    assert modes(root) == closed | {f"bio/{leaf}": "777" for leaf in leaves} | hand_ins


def test_what_is_in_a_folder_stays_and_modes_are_put_right(root: Path) -> None:
    folders.make(root, "ada", ONE)
    (root / "bio/inbound/ada/ps1").write_text("kept")
    (root / "bio/inbound").chmod(0o777)
    folders.make(root, "ada", ONE)
    assert modes(root)["bio/inbound"] == "755"
    assert (root / "bio/inbound/ada/ps1").read_text() == "kept"


def test_removing_a_persons_folders_follows_no_link_and_opens_what_is_closed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    folders.make(root, "ada", [*ONE, Membership("chem", False)])
    folders.make(root, "ben", ONE)
    own = root / "bio/inbound/ada"
    (own / "deep/er").mkdir(parents=True)
    (own / "deep/er/file").write_text("")
    for place in (own / "link", own / "deep/er/link"):
        place.symlink_to(outside)
    os.mkfifo(own / "pipe")
    (own / "deep/er").chmod(0)
    (own / "deep").chmod(0o500)
    (root / "elsewhere").symlink_to(outside)
    (root / "chem/feedback/ada").rmdir()
    (root / "chem/feedback/ada").symlink_to(outside)
    folders.remove(root, "ada")
    assert (outside / "kept").exists()
    assert not list(root.glob("*/*/ada")) and not (root / "chem/feedback/ada").is_symlink()
    assert (root / "bio/inbound/ben").is_dir()
    folders.remove(root, "ada")
    for name in ("..", "", "a/b", "*"):
        folders.remove(root, name)
    assert (root / "bio/inbound/ben").is_dir()


@pytest.mark.parametrize(
    "place", ["bio", "bio/inbound", "bio/inbound/ada", "bio/feedback/ada", "bio/course", "bio/outbound"]
)
@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_in_the_place_of_a_folder_is_refused(root: Path, tmp_path: Path, place: str, dangling: bool) -> None:
    outside = tmp_path / "outside"
    if not dangling:
        outside.mkdir()
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(outside)
    with pytest.raises(UnsafeFolder, match=place):
        folders.make(root, "ada", ONE)
    assert not list(tmp_path.glob("outside/*"))


def test_a_root_that_others_may_write_to_is_refused(root: Path) -> None:
    root.chmod(0o777)
    with pytest.raises(UnsafeFolder, match="others may write"):
        folders.make(root, "ada", ONE)


@pytest.mark.skipif(os.getuid() != 0, reason="gives folders away")
def test_folders_of_the_hubs_account_become_ours_and_what_is_in_them_stays_as_it_is(root: Path) -> None:
    folders.make(root, "ada", ONE)
    work = root / "bio/inbound/ada/ps1"
    work.write_text("kept")
    for path in [root, *root.rglob("*")]:
        os.chown(path, 4321, 4321)
    os.chown(work, 1000, 1000)
    other = root / "bio/inbound/ben"
    other.mkdir()
    os.chown(other, 4321, 4321)
    folders.make(root, "ada", ONE, former=4321)
    owners = {str(path.relative_to(root)): path.stat().st_uid for path in [root, *root.rglob("*")]}
    assert owners == dict.fromkeys(owners, 0) | {"bio/inbound/ada/ps1": 1000, "bio/inbound/ben": 4321}
    assert work.read_text() == "kept"


@pytest.mark.skipif(os.getuid() != 0, reason="gives folders away")
def test_folders_of_anybody_else_are_refused(root: Path) -> None:
    folders.make(root, "ada", ONE)
    os.chown(root / "bio", 1000, 1000)
    with pytest.raises(UnsafeFolder, match="must be a folder"):
        folders.make(root, "ada", ONE, former=4321)


@pytest.mark.skipif(os.getuid() != 0, reason="gives folders away")
def test_the_hubs_account_cannot_slip_a_link_in_while_folders_become_ours(root: Path, tmp_path: Path) -> None:
    """A process of the hub's account, which holds the folder open from before, swaps a folder and a link all the time."""
    secret = tmp_path / "secret"
    secret.mkdir()
    swapper = """
import os, sys
at = os.open(sys.argv[1], os.O_RDONLY)
os.setgid(4321), os.setuid(4321)
print("ready", flush=True)
while True:
    try:
        os.rename("inbound", "aside", src_dir_fd=at, dst_dir_fd=at)
        os.symlink(sys.argv[2], "inbound", dir_fd=at)
        os.unlink("inbound", dir_fd=at)
        os.rename("aside", "inbound", src_dir_fd=at, dst_dir_fd=at)
    except PermissionError as error:
        sys.exit(error.errno)
    except OSError:  # between two steps somebody made the folder, which was aside
        pass
"""
    for number in range(15):
        course = f"c{number}"
        folders.make(root, "ada", [Membership(course, False)])
        for path in (root, root / course, root / course / "inbound"):
            os.chown(path, 4321, 4321)
        process = subprocess.Popen([sys.executable, "-I", "-c", swapper, root / course, secret], stdout=subprocess.PIPE)
        assert process.stdout and process.stdout.readline()
        with suppress(UnsafeFolder):  # the link was there: it is refused
            folders.make(root, "ada", [Membership(course, False)], former=4321)
            assert not (root / course / "inbound").is_symlink()
        assert process.wait(10) == 13, "it may not any more"
        assert not list(secret.iterdir()) and secret.stat().st_mode & 0o777 == 0o755
        process.stdout.close()
