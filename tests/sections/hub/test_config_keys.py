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
    "another image": ("c.DockerSpawner.image = 'quay.io/other'", 'add it to "images" in '),
    "a value of another type": ("c.LaunchAuthenticator.admin_users = 5", "The 'admin_users' trait"),
}  # fmt: skip

# Reads the paths of configurations, and tells of each what is wrong with it and what the hub would do.
_LOAD = """
import json, sys
sys.path.insert(0, "")
from hubrun_hub.programs import check_config
found = {}
for path in json.load(sys.stdin):
    try:
        wrong = check_config.problems(path)
    except Exception as error:
        wrong = [f"{type(error).__name__}: {error}"]
    c = check_config.load(path)
    found[path] = {
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
        "docker-filter-local.json": "{}",
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
    paths["a proxy"] = write(folder / "proxy", lib, http_proxy="http://proxy.example.edu:3128", no_proxy=["10.0.0.0/8"])
    done = subprocess.run(
        [hub_python(), "-c", _LOAD], input=json.dumps(list(map(str, paths.values()))), capture_output=True, text=True,
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
    assert found["spawner"] == ("CourseMounts" if values["nbgrader"] else "DockerSpawner")
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


def test_administrators_are_those_of_the_parameter(loaded: dict[str, dict[str, Any]]) -> None:
    assert loaded["administrators"]["problems"] == []
    assert ast.literal_eval(loaded["administrators"]["admin_users"]) == ["lea", 'o\'brien "x"']


def test_with_a_proxy_a_students_server_would_start(loaded: dict[str, dict[str, Any]]) -> None:
    assert loaded["a proxy"]["problems"] == []
