"""Loads a JupyterHub configuration as the hub would, and names every key that no class knows, and what Docker's filter
would refuse.

Runs on the server with the hub's own Python: traitlets passes over a key of the wrong class without a word, and the hub
then runs with a default (the guide's `c.LTIAuthenticator.consumers` made every launch a 401).

Arguments: the configuration, and the names of parts of ours that are replaced yet, and so are not judged. It ends with 1
for what is wrong, and with 3 where there is no JupyterHub that could load it.
"""

import asyncio
import difflib
import re
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# jsonschema, which JupyterHub imports for its event log, does without this one. It reads a grammar when it is imported,
# and that takes as long as all the rest here; no setting is checked by it. None stands for a module that is missing
# (docs.python.org/3/reference/import.html, "The module cache").
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

try:
    from jupyterhub.app import JupyterHub
    from traitlets import TraitError
    from traitlets.config import Config, PyFileConfigLoader
except Exception as error:
    print(f"the hub's Python, {sys.executable}, cannot import JupyterHub: {type(error).__name__}: {error}")
    sys.exit(3)

from hubrun_hub import config_parts  # noqa: E402
from hubrun_hub.docker_filter import create, settings  # noqa: E402
from hubrun_hub.exams.servers import DATABASE  # noqa: E402

# What guides call the class that lets people in: ltiauthenticator's, which our front door replaces.
_REPLACED = dict.fromkeys(("LTIAuthenticator", "LTI11Authenticator", "LTI13Authenticator"), "LaunchAuthenticator")


def load(path: str) -> Config:
    """The configuration in the file `path` and in those that it reads. Raises what the files raise."""
    found: Config = PyFileConfigLoader(path).load_config()
    return found


def place(path: str, setting: str) -> str:
    """Where a setting such as `c.Spawner.memlimit` is written last: "FILE, line 2: ", or "" when no line says it so."""
    found = ""
    for file in [Path(path), *sorted(Path(path).parent.glob("conf.d/*.py"))]:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if re.match(rf"[^#]*\b{re.escape(setting)}\b", line):
                found = f"{file}, line {number}: "
    return found


def problems(path: str) -> list[str]:
    """A line for each setting that no class in use has, and for each class that is not in use.

    Raises what the files raise, and traitlets.TraitError for a value of the wrong type.
    """
    config = load(path)
    app = JupyterHub(config=config)
    used = [JupyterHub, *app.classes, app.authenticator_class, app.spawner_class, app.proxy_class]
    known = {cls.__name__: cls for base in used for cls in base.__mro__ if hasattr(cls, "class_traits")}
    found = []
    for section, keys in config.items():
        if section not in known:
            replaced = _REPLACED.get(section)
            near = [replaced] if replaced else difflib.get_close_matches(section, known, 1)
            found.append(
                f"{place(path, f'c.{section}')}c.{section}: no class in use has this name"
                + (f"; did you mean c.{near[0]}?" if near else "")
            )
            continue
        traits = known[section].class_traits(config=True)
        for key in keys:
            if key not in traits:
                near = difflib.get_close_matches(key, traits, 1)
                name = f"c.{section}.{key}"
                found.append(
                    f"{place(path, name)}{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
                )
    if "db_url" in config.JupyterHub and app.db_url != f"sqlite:///{DATABASE}":
        found.append(
            f"{place(path, 'c.JupyterHub.db_url')}c.JupyterHub.db_url: the hub's database stays {DATABASE}, which exams, "
            "removals, backups and status read (docs/how-to/capacity.md)"
        )
    if not found:
        app.authenticator_class(config=config)
        user = SimpleNamespace(name="check", escaped_name="check", url="/", groups=[])
        found += refused(app.spawner_class(config=config, _mock=True, user=user), Path(path).parent)
    return found


def refused(spawner: Any, folder: Path) -> list[str]:
    """What hubrun-docker-filter would say of the container that this spawner asks for, by its settings in `folder`.

    Nothing, where the spawner does not use it, or what it asks for is not known before a student is there.
    """
    if not str(getattr(spawner, "client_kwargs", {}).get("base_url", "")).endswith("/hubrun-docker-filter.sock"):
        return []
    asked: Any = None
    with suppress(Exception):
        asked = _create_call(spawner)
    if asked is None:
        return []
    try:
        if not settings.readable(folder / settings.SITE.name):
            return []  # ours, and written again (04)
        allowed = settings.load(folder / settings.SITE.name, folder / settings.LOCAL.name)
        create.create(asked, spawner.container_name, allowed)
    except settings.Refused as error:
        return [f"no student's server would start: hubrun-docker-filter refuses {error}"]
    return []


def _create_call(spawner: Any) -> Any:
    """The body of the create call that a DockerSpawner would send; no Docker is asked."""
    import docker

    sent = []
    client = docker.APIClient(base_url="unix:///nowhere", version="1.41")
    client.create_container_from_config = lambda config, *_: sent.append(dict(config)) or {"Id": ""}
    type(spawner)._client = client
    spawner.get_env = dict
    asyncio.run(spawner.create_object())
    return sent[0]


def judge(path: str, replaced: set[str]) -> list[str]:
    """What is wrong with the configuration, beside what is wrong with the parts of ours that are named in `replaced`.

    A part that cannot be read is passed over, so that those behind it are judged all the same. What they set is not
    compared with the classes then: some of these may come from that part.
    """
    config_parts.SKIPPED.clear()
    while True:
        try:
            found = problems(path)
            break
        except BaseException as error:  # an operator's file can raise anything, SystemExit too
            found = [_raised(path, error)]
            at = _file(found[0])
            if at not in replaced:
                # traitlets' word for a list or table to which something is added, and which ours would have set
                lost = config_parts.SKIPPED and "LazyConfigValue" in found[0]
                return [] if lost else found
            if at in config_parts.SKIPPED:
                return []
            config_parts.SKIPPED.add(at)
    unsure = config_parts.SKIPPED and (": no such setting", ": no class in use")
    return [line for line in found if _file(line) not in replaced and not any(each in line for each in unsure or ())]


def _file(line: str) -> str:
    """The name of the file that a line of ours begins with, "" for none."""
    found = re.match(r"(/[^:,]*/)?([^/:,]+\.py)[,:]", line)
    return found[2] if found else ""


def _raised(path: str, error: BaseException) -> str:
    if isinstance(error, TraitError):
        # "The 'port' trait of a JupyterHub instance …", in the words of traitlets
        said = re.match(r"The '(\w+)' trait of an? \w+", str(error))
        return (place(path, f".{said[1]}") if said else "") + str(error)
    folder = str(Path(path).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folder)]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else path
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}, line {error.lineno}"
    return f"{where}: {type(error).__name__}: {error}"


def main() -> int:
    """Print what is wrong with the configuration that the first argument names; the exit code, 0 when nothing is."""
    found = judge(sys.argv[1], set(sys.argv[2:]))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
