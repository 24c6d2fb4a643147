"""Loads a JupyterHub configuration as the hub would, and names every key that no class knows.

Runs on the server with the hub's own Python: traitlets passes over a key of the wrong class without a word, and the hub
then runs with a default (the guide's `c.LTIAuthenticator.consumers` made every launch a 401).
"""

import difflib
import re
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

# jsonschema, which JupyterHub imports for its event log, does without this one. It reads a grammar when it is imported,
# and that takes as long as all the rest here; no setting is checked by it. None stands for a module that is missing
# (docs.python.org/3/reference/import.html, "The module cache").
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

from jupyterhub.app import JupyterHub  # noqa: E402
from traitlets import TraitError  # noqa: E402
from traitlets.config import Config  # noqa: E402

# What guides call the class that lets people in: ltiauthenticator's, which our front door replaces.
_REPLACED = dict.fromkeys(("LTIAuthenticator", "LTI11Authenticator", "LTI13Authenticator"), "LaunchAuthenticator")


def load(path: str) -> Config:
    app = JupyterHub()
    app.raise_config_file_errors = True
    app.load_config_file(path)
    return app.config


def place(path: str, setting: str) -> str:
    """Where a setting such as `c.Spawner.memlimit` is written: "FILE, line 2: ", or "" when no line says it so."""
    for file in [Path(path), *sorted(Path(path).parent.glob("conf.d/*.py"))]:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if re.match(rf"[^#]*\b{re.escape(setting)}\b", line):
                return f"{file}, line {number}: "
    return ""


def problems(path: str) -> list[str]:
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
    if not found:
        app.authenticator_class(config=config)
        app.spawner_class(config=config, _mock=True, user=SimpleNamespace(name="check", escaped_name="check", url="/"))
    return found


def main() -> int:
    try:
        found = problems(sys.argv[1])
    except TraitError as error:
        found = [str(error)]
    except BaseException as error:  # an operator's file can raise anything, SystemExit too
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("/etc/jupyterhub")
        ]
        place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else sys.argv[1]
        if isinstance(error, SyntaxError) and error.filename:
            place = f"{error.filename}, line {error.lineno}"
        found = [f"{place}: {type(error).__name__}: {error}"]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
