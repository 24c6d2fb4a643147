"""Reads the parts of the hub's configuration, conf.d/*.py, into one: ours, and the operator's.

All of them have the same `c`. So `c.DockerSpawner.volumes["/x"] = …` in the operator's adds to what ours say, as the
recipes of JupyterHub's and DockerSpawner's documentation do within one file. (traitlets' own load_subconfig gives each
file a `c` of its own, which has nothing in it, and there this line is an error: traitlets/config/loader.py.)

Recipes also replace a whole list or table. What of ours the hub cannot do without is put back then (`_keep`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .awaited import awaited

OURS = ("20-hub.py", "25-lti.py", "30-subdomains.py", "40-docker.py")
# Names that are passed over: check_config looks for what is wrong beside these.
SKIPPED: set[str] = set()
_PLAIN_SPAWNER = ("docker", "dockerspawner.DockerSpawner")


def read_parts(c: Any, folder: Path, own: Path | None = None) -> None:
    """Run the parts in `folder` in the order of their names; a later one has the last word. Raises what they raise.

    c: traitlets' Config, which they fill. own: where the operator's parts are taken from, if not from `folder`.
    """
    parts = [part for part in folder.glob("*.py") if own is None or part.name in OURS]
    parts = sorted([*parts, *(own.glob("*.py") if own else ())], key=lambda part: part.name)
    parts = [part for part in parts if part.name not in SKIPPED]
    last = max((part.name for part in parts if part.name in OURS), default="")
    for part in parts:
        _run(part, c)
        if part.name == last:
            ours = copy.deepcopy(c)
    if last:
        _keep(c, ours)


def _run(file: Path, c: Any) -> None:
    """Run one file with the names that JupyterHub gives a file of its configuration (traitlets' PyFileConfigLoader)."""

    def load_subconfig(fname: str, path: str | None = None) -> None:
        _run(Path(path or file.parent) / fname, c)

    names = {"c": c, "get_config": lambda: c, "load_subconfig": load_subconfig, "__file__": str(file)}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)  # noqa: S102  # nosec B102 - root's own files


def _keep(c: Any, ours: Any) -> None:
    """Put back what of ours is gone from `c`: services, roles, pages, limits, homes, and what is done at a login."""
    for name in ("services", "load_roles"):
        before, now = _value(ours, "JupyterHub", name, []), _value(c, "JupyterHub", name, [])
        if before and isinstance(now, list) and all(isinstance(each, dict) for each in now):
            there = {each.get("name") for each in now}
            c.JupyterHub[name] = [*(each for each in before if each["name"] not in there), *now]
    before, now = _value(ours, "JupyterHub", "template_paths", []), _value(c, "JupyterHub", "template_paths", [])
    if before and isinstance(now, list):
        c.JupyterHub.template_paths = [*now, *(each for each in before if each not in now)]
    for section, name in (("JupyterHub", "tornado_settings"), ("DockerSpawner", "extra_host_config")):
        before, now = _value(ours, section, name, {}), _value(c, section, name, {})
        if before and isinstance(now, dict):
            c[section][name] = {**before, **now}
        elif before and callable(now):
            c[section][name] = _over(before, now)
    before, now = _value(ours, "DockerSpawner", "volumes", {}), _value(c, "DockerSpawner", "volumes", {})
    if before and isinstance(now, dict):  # people's homes, unless something else is mounted there
        taken = [each.get("bind") if isinstance(each, dict) else each for each in now.values()]
        c.DockerSpawner.volumes = {**now, **{what: where for what, where in before.items() if where not in taken}}
    if _value(c, "JupyterHub", "spawner_class", None) in _PLAIN_SPAWNER and "spawner_class" in ours.JupyterHub:
        c.JupyterHub.spawner_class = ours.JupyterHub.spawner_class  # which is one
    first = _value(ours, "Authenticator", "post_auth_hook", None)
    for section in ("Authenticator", "LaunchAuthenticator"):
        then = _value(c, section, "post_auth_hook", None)
        if first and then and then is not first:
            c[section].post_auth_hook = _one_after_another(first, then)


def _value(config: Any, section: str, name: str, default: Any) -> Any:
    """A setting, without making one by asking for it, as traitlets' Config does."""
    return config[section][name] if section in config and name in config[section] else default


def _over(ours: dict[str, Any], theirs: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The operator's function of the spawner, over our fixed settings."""

    async def both(spawner: Any) -> dict[str, Any]:
        return {**ours, **await awaited(theirs(spawner))}

    return both


def _one_after_another(first: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    """Two hooks of an authenticator as one."""

    async def both(authenticator: Any, handler: Any, login: Any) -> Any:
        return await awaited(then(authenticator, handler, first(authenticator, handler, login)))

    return both
