"""The hub's configuration for every kind of site, in the hub's own Python: it loads, and no key is unknown to its class.

traitlets passes over a key that its class does not have without a word. This is what runbook 02 checks on a server
(check_config.py), here on the files as a server gets them, but for the folders; in one process for all.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from hubrun.params import Site
from hubrun.sections.hub import config
from hubrun_hub.config_parts import OURS
from lti_hub import HUB, hub_python

pytestmark = pytest.mark.hub

PARTS = ("20-hub.py", "25-lti.py", "30-subdomains.py", "40-docker.py")
SITES: dict[str, dict[str, Any]] = {
    f"LTI {version}, {'with' if nbgrader else 'no'} nbgrader, {tls}, {idle} min": {
        "lti_version": version, "nbgrader": nbgrader, "tls": tls, "idle_minutes": idle,
    }
    for version, nbgrader, tls, idle in product(("1.1", "1.3", "both"), (True, False), ("acme", "files"), (0, 60))
}  # fmt: skip
# What is added to 90-local.py, and what must be said of it.
MISTAKES = {
    "a key of another name": ("c.LaunchAuthenticator.username_keys = 'x'", "no such setting; did you mean username_key?"),
    "the guide's class": ("c.LTIAuthenticator.consumers = {}", "c.LTIAuthenticator: no class in use has this name"),
    "a spawner's key": ("c.DockerSpawner.memlimit = '1G'", "c.DockerSpawner.memlimit: no such setting"),
    "what Docker's filter refuses": ("c.DockerSpawner.extra_host_config = {'privileged': True}", "no student's server would start: hubrun-docker-filter refuses HostConfig.Privileged is not allowed"),
    "another database": ("c.JupyterHub.db_url = 'postgresql://hub@/hub'", "c.JupyterHub.db_url: the hub's database stays /var/lib/jupyterhub/jupyterhub.sqlite"),
    "another image": ("c.DockerSpawner.image = 'quay.io/other'", 'add it to "images" in '),
    "a value of another type": ("c.LaunchAuthenticator.admin_users = 5", "The 'admin_users' trait"),
}  # fmt: skip

# What the documentation of JupyterHub and DockerSpawner shows, as it stands there but for names → what comes of it: an
# expression of `c`, and of `host`, the HostConfig of the container that is asked for after the pre_spawn_hook.
RECIPES: dict[str, tuple[str, str]] = {
    "memory for each person, by a hook": (
        "def give(spawner):\n    spawner.mem_limit = '512M'\nc.Spawner.pre_spawn_hook = give",
        "host['Memory'] == host['MemorySwap'] == 2 * host['ShmSize'] == 512 * 2**20 and host['CapDrop'] == ['ALL']",
    ),
    "memory for each person, by a function": (
        "def per_user(spawner):\n    return {'check': '256M'}.get(spawner.user.name, '1G')\nc.DockerSpawner.mem_limit = per_user",
        "host['Memory'] == host['MemorySwap'] == 2 * host['ShmSize'] == 256 * 2**20",
    ),
    "memory and processors for everybody, as JupyterHub has it": (
        "c.Spawner.mem_limit = '768M'\nc.Spawner.cpu_limit = 0.5",
        "host['Memory'] == host['MemorySwap'] == 768 * 2**20 and host['CpuQuota'] == 50000",
    ),
    "one more volume": (
        "c.DockerSpawner.volumes['shared'] = '/home/jovyan/shared'",
        "sorted(host['Binds']) == ['jupyterhub-user-check:/home/jovyan:rw', 'shared:/home/jovyan/shared:rw']",
    ),
    "one more volume, by update": (
        "c.DockerSpawner.volumes.update({'shared': {'bind': '/shared', 'mode': 'ro'}})",
        "sorted(host['Binds']) == ['jupyterhub-user-check:/home/jovyan:rw', 'shared:/shared:ro']",
    ),
    "all volumes": (
        "notebook_dir = '/home/jovyan'\nc.DockerSpawner.notebook_dir = notebook_dir\nc.DockerSpawner.volumes = {'jupyterhub-user-{username}': notebook_dir}",
        "host['Binds'] == ['jupyterhub-user-check:/home/jovyan:rw']",
    ),
    "a volume, in place of all": (
        "c.DockerSpawner.volumes = {'shared': {'bind': '/home/jovyan/shared', 'mode': 'ro'}}",
        "sorted(host['Binds']) == ['jupyterhub-user-check:/home/jovyan:rw', 'shared:/home/jovyan/shared:ro']",
    ),
    "a folder for work, as DockerSpawner's examples have it": (
        "notebook_dir = '/home/jovyan/work'\nc.DockerSpawner.notebook_dir = notebook_dir\nc.DockerSpawner.volumes = {'jupyterhub-user-{username}': notebook_dir}",
        "host['Binds'] == ['jupyterhub-user-check:/home/jovyan:rw']",
    ),
    "homes of one's own": ("c.DockerSpawner.volumes = {'shared': '/home/jovyan'}", "host['Binds'] == ['shared:/home/jovyan:rw']"),
    "shared memory, in place of all limits": (
        "c.DockerSpawner.extra_host_config = {'shm_size': '256m'}",
        "host['ShmSize'] == 2**28 and host['CapDrop'] == ['ALL'] and host['PidsLimit'] == 512 and host['MemorySwap'] == 2**30",
    ),
    "shared memory, one more limit": ("c.DockerSpawner.extra_host_config['shm_size'] = '256m'", "host['ShmSize'] == 2**28 and host['Init']"),
    "limits by a function": (
        "async def limits(spawner):\n    return {'pids_limit': 99}\nc.DockerSpawner.extra_host_config = limits",
        "host['PidsLimit'] == 99 and host['CapDrop'] == ['ALL'] and host['ShmSize'] == 2**29",
    ),
    "the plain spawner": ("c.JupyterHub.spawner_class = 'dockerspawner.DockerSpawner'", "c.JupyterHub.spawner_class.__name__ == 'StudentSpawner'"),
    "a service and its role, in place of all": (
        "c.JupyterHub.services = [{'name': 'mine', 'api_token': 'x' * 32}]\nc.JupyterHub.load_roles = [{'name': 'mine', 'scopes': ['list:users'], 'services': ['mine']}]",
        "{each['name'] for each in c.JupyterHub.services} == {each['name'] for each in c.JupyterHub.load_roles} == {'mine', 'hubrun-verify', 'idle-culler'}",
    ),
    "one more service": ("c.JupyterHub.services += [{'name': 'mine', 'api_token': 'x' * 32}]", "len(c.JupyterHub.services) == 3"),
    "a culler of another pace": (
        "import sys\nc.JupyterHub.services = [{'name': 'idle-culler', 'command': [sys.executable, '-m', 'jupyterhub_idle_culler', '--timeout=60']}]",
        "[each['command'][-1] for each in c.JupyterHub.services if each['name'] == 'idle-culler'] == ['--timeout=60']",
    ),
    "pages of one's own": ("c.JupyterHub.template_paths = ['/srv/templates']", "c.JupyterHub.template_paths[0] == '/srv/templates' and len(c.JupyterHub.template_paths) == 2"),
    "headers": ("c.JupyterHub.tornado_settings = {'headers': {'X-Frame-Options': 'DENY'}}", "set(c.JupyterHub.tornado_settings) == {'headers', 'cookie_options'}"),
    "groups": ("c.JupyterHub.load_groups = {'staff': {'users': ['lea']}}", "'staff' in c.JupyterHub.load_groups"),
    "environment": ("c.Spawner.environment = {'LICENCE': 'lic.example.edu'}\nc.Spawner.environment['MORE'] = '1'", "len(c.Spawner.environment) == 2"),
    "what is done at a login": (
        "def note(authenticator, handler, login):\n    return {**login, 'noted': True}\nc.Authenticator.post_auth_hook = note",
        "asyncio.run(c.Authenticator.post_auth_hook(None, None, {'name': 'ada'})) == {'name': 'ada', 'noted': True}",
    ),
    "a file of one's own by its folder": ("import os\nload_subconfig('more.cfg', path=os.path.dirname(__file__) + '/..')", "c.Spawner.default_url == '/tree'"),
    "a file of one's own beside it": ("import os\nload_subconfig('more.cfg', os.path.dirname(__file__) + '/..')", "c.Spawner.default_url == '/tree'"),
}  # fmt: skip
# What is broken in a file of ours, and in the operator's → what is said when ours are written yet.
DEAD_ENDS = {
    "a token that is gone": ("proxy.env", "", "", ""),
    "a token that is damaged": ("proxy.env", "\x00\x80", "", ""),
    "an older part": ("conf.d/20-hub.py", "c.JupyterHub.no_such_setting = 1\nc.ConfigurableHTTPProxy.hub_thing = 2\n", "", ""),
    "a part with a mistake": ("conf.d/25-lti.py", "from hubrun_lti import gone\n", "", ""),
    "a part that is half written": ("conf.d/40-docker.py", "c.JupyterHub.spawner_class = (\n", "", ""),
    "a value of ours that was valid once": ("conf.d/20-hub.py", "c.JupyterHub.port = 'x'\n", "", ""),
    "the settings of Docker's filter": ("docker-filter.json", "{", "", ""),
    "both": ("proxy.env", "", "c.Spawner.pre_spawn_hook = nowhere", "90-local.py, line 2: NameError"),
    "a name that is wrong beside it": ("docker-filter.json", "", "c.Spawner.memlimit = 1", "90-local.py, line 2: c.Spawner.memlimit: no such setting"),
    "a value that is wrong": ("docker-filter.json", "", "c.JupyterHub.hub_bind_url = 5", "90-local.py, line 2: The 'hub_bind_url' trait"),
    "what is added to a table of ours": ("conf.d/40-docker.py", "c.JupyterHub.spawner_class = (\n", "c.DockerSpawner.volumes['x'] = '/x'", ""),
    "what is added to a list of ours": ("conf.d/20-hub.py", "1 / 0\n", "c.JupyterHub.services += [{'name': 'mine'}]", ""),
    "nothing is said of what ours may have": ("conf.d/25-lti.py", "x = 1 / 0\n", "c.LaunchAuthenticator.tool_title = 'x'", ""),
}  # fmt: skip

# Reads the paths of configurations, and tells of each what is wrong with it and what the hub would do.
_LOAD = """
import asyncio, json, sys
from types import SimpleNamespace
sys.path.insert(0, "")
from hubrun_hub import config_parts
from hubrun_hub.programs import check_config
found = {}
for path, (expression, replaced) in json.load(sys.stdin).items():
    wrong = check_config.judge(path, set(replaced))
    if replaced:
        found[path] = {"problems": wrong}
        continue
    config_parts.SKIPPED.clear()
    c = check_config.load(path)
    held = None
    if expression:
        user = SimpleNamespace(name="check", escaped_name="check", url="/", groups=[])
        spawner = c.JupyterHub.spawner_class(config=c, _mock=True, user=user)
        spawner.pre_spawn_hook and spawner.pre_spawn_hook(spawner)
        held = eval(expression, {"c": c, "asyncio": asyncio, "host": check_config._create_call(spawner)["HostConfig"]})
    found[path] = {
        "held": held,
        "problems": wrong, "sections": sorted(c), "spawner": c.JupyterHub.spawner_class.__mro__[1].__name__,
        "services": [each["name"] for each in c.JupyterHub.services],
        "default_consumer": c.LaunchAuthenticator.default_consumer,
        "admin_users": repr(c.LaunchAuthenticator.administrators),
    }
json.dump(found, sys.stdout)
"""


def write(folder: Path, lib: Path, local: str = "", **values: Any) -> Path:
    """The configuration of a site, in `folder`; `lib` is what it imports, `local` the operator's own lines."""
    site = Site(
        site="s", domain="hub.example.edu", tls_certificate="/etc/ssl/hub.pem", tls_key="/etc/ssl/hub.key", **values
    )
    (folder / "conf.d").mkdir(parents=True)
    texts = {f"conf.d/{name}": config.render(name, site) for name in PARTS}
    texts |= {
        "jupyterhub_config.py": config.render("jupyterhub_config.py", site),
        "conf.d/90-local.py": f"c = get_config()\n{local}\n",
        "proxy.env": "CONFIGPROXY_AUTH_TOKEN=abc\n",
        "verify.env": "HUBRUN_VERIFY_TOKEN=def\n",
        "docker-filter.json": config.filter_settings(site),
        "docker-filter-local.json": '{"mounts": {"shared": "rw"}}',
        "more.cfg": "c.Spawner.default_url = '/tree'\n",
    }
    for name, text in texts.items():
        text = text.replace("/etc/jupyterhub", str(folder)).replace("/usr/local/lib/hubrun", str(lib))
        (folder / name).write_text(text)
    return folder / "jupyterhub_config.py"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What the hub's Python says of each configuration, by its name."""
    folder = tmp_path_factory.mktemp("configurations")
    lib = folder / "lib"
    shutil.copytree(HUB, lib / "hubrun_hub")
    paths = {name: write(folder / str(number), lib, **values) for number, (name, values) in enumerate(SITES.items())}
    paths |= {name: write(folder / name, lib, mistake) for name, (mistake, _) in MISTAKES.items()}
    paths["administrators"] = write(folder / "admins", lib, admin_users=["lea", 'o\'brien "x"'])
    asked: dict[str, tuple[str, tuple[str, ...]]] = {}
    for number, (name, (local, expression)) in enumerate(RECIPES.items()):
        paths[name] = write(folder / f"recipe{number}", lib, local)
        asked[str(paths[name])] = (expression, ())
    for number, (name, (broken, text, local, _)) in enumerate(DEAD_ENDS.items()):
        paths[name] = write(folder / f"end{number}", lib, local)
        paths[name].parent.joinpath(broken).write_bytes(text.encode("latin-1"))
        asked[str(paths[name])] = ("", (*OURS, "jupyterhub_config.py"))
    paths["a proxy"] = write(folder / "proxy", lib, http_proxy="http://proxy.example.edu:3128", no_proxy=["10.0.0.0/8"])
    done = subprocess.run(
        [hub_python(), "-c", _LOAD], input=json.dumps({str(path): asked.get(str(path), ("", ())) for path in paths.values()}),
        capture_output=True, text=True,
        cwd=lib, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    yield {name: found[str(path)] for name, path in paths.items()}


@pytest.mark.parametrize("name", SITES)
def test_every_key_is_known_to_its_class(loaded: dict[str, dict[str, Any]], name: str) -> None:
    found, values = loaded[name], SITES[name]
    assert found["problems"] == []
    assert {"JupyterHub", "LaunchAuthenticator", "ConfigurableHTTPProxy", "Spawner", "DockerSpawner"} <= set(
        found["sections"]
    ), "all parts were read"
    assert found["spawner"] == ("CourseMounts" if values["nbgrader"] else "Starting")
    assert ("idle-culler" in found["services"]) == bool(values["idle_minutes"])
    assert bool(found["default_consumer"]) == (values["lti_version"] != "1.3")
    assert found["admin_users"] == "[]"


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(loaded: dict[str, dict[str, Any]], name: str) -> None:
    mistake, complaint = MISTAKES[name]
    [problem] = loaded[name]["problems"]
    assert complaint in problem
    if "trait" not in complaint and "filter" not in complaint and "images" not in complaint:
        assert "90-local.py, line 2: " in problem


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_the_documentation_works_as_it_stands_there(loaded: dict[str, dict[str, Any]], name: str) -> None:
    assert loaded[name]["problems"] == []
    assert loaded[name]["held"] is True, RECIPES[name][1]


@pytest.mark.parametrize("name", DEAD_ENDS)
def test_what_is_ours_and_written_again_is_no_dead_end(loaded: dict[str, dict[str, Any]], name: str) -> None:
    said = DEAD_ENDS[name][-1]
    problems = loaded[name]["problems"]
    assert (len(problems), said in "".join(problems)) == (bool(said), True), problems


def test_administrators_are_those_of_the_parameter(loaded: dict[str, dict[str, Any]]) -> None:
    assert loaded["administrators"]["problems"] == []
    assert ast.literal_eval(loaded["administrators"]["admin_users"]) == ["lea", 'o\'brien "x"']


def test_with_a_proxy_a_students_server_would_start(loaded: dict[str, dict[str, Any]]) -> None:
    assert loaded["a proxy"]["problems"] == []
