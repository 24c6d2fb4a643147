"""Nobody gets a new, empty home without the operator knowing: who would get another name, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resource_files
from pathlib import PurePosixPath
from typing import Any, Literal

from typing_extensions import override

from hubrun import server_paths
from hubrun.desired.resource import Action, Resource
from hubrun.params import Site

_ASKED = 64
_JOURNAL = "renaming.json"
# So many are named in the one line of an error; the table below it has them all.
_NAMED = 5
_REMEDY = (
    "Decide, and run this again: --set new_names=rename lets them keep their files under the new name, "
    "--set new_names=leave lets them begin with an empty home (their files stay on the server). Nothing was changed"
)
# What the program on the server consists of, in the order in which its modules need one another.
_LOOK = ("student_volume", "lti.user_names", "lti.people", "renaming.next_names", "renaming.look")
_CARRY = (*_LOOK, "renaming.pieces", "renaming.confined", "renaming.tables", "renaming.carry")
# The modules find one another by the names that they have here; on the server there is nothing else of hubrun.
_PROGRAM = """
import sys, types
def module(name, text=""):
    made = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), made.__dict__)
for name in ("hubrun_hub", "hubrun_hub.lti", "hubrun_hub.renaming"):
    module(name)
"""
# A server that has no hub yet has nobody to ask about, and perhaps no Python. No answer must not look like nobody.
_PROBE = """
[ -e {database} ] && command -v python3 >/dev/null || exit 0
python3 -IS - <<'END_OF_PROGRAM' || echo '{{"error": "the comparison of names ended with an error: run it again, and report it"}}'
{program}
END_OF_PROGRAM
"""


@dataclass(frozen=True)
class Names(Resource):
    """The hub's people keep their files, whatever name `lti_username_key` and the consumers give them at their next launch.

    consumers: name, prefix and versions of LTI of each. new_names: the parameter. admins: the parameter admin_users.
    asks: look only, and fail where the operator must decide first; else do what was decided.
    """

    key: str
    consumers: tuple[tuple[str, str, tuple[str, ...]], ...]
    new_names: Literal["stop", "rename", "leave"]
    admins: tuple[str, ...]
    asks: bool

    @property
    @override
    def label(self) -> str:
        return "names of the hub's people" if self.asks else "new names of the hub's people"

    @override
    def probe(self) -> str:
        # One text for both: the question is asked once.
        program = _program(_LOOK, "print(look.report(SETTINGS), end='')", _settings(self.key, self.consumers))
        return _PROBE.format(database=f"{server_paths.STATE}/jupyterhub.sqlite", program=program)

    @override
    def plan(self, found: str) -> list[Action]:
        if not found.strip():
            return []
        seen: dict[str, Any] = json.loads(found)
        if "error" in seen:
            return [_stop("find out who would get another name", seen["error"], "Repair it, and run this again", "")]
        people, unknown = seen["people"], [each for each in seen["unknown"] if each["bytes"] is not None]
        with_files = [each for each in people if each["bytes"] is not None]
        if seen["interrupted"]:
            return []  # a plan: what is whose will be known after `Interrupted`
        if self.asks:
            if self.new_names == "stop" and (with_files or unknown):
                return [self._decide(with_files, people, unknown, seen["key"])]
            return self._obstacles(people) if self.new_names == "rename" else []
        if self.new_names == "rename" and people:
            return self._rename(people, unknown)
        if self.new_names != "stop" and (with_files or unknown):
            # With new_names: rename these are only people who cannot be renamed, as it is not known to what.
            return [self._leave(with_files, unknown)]
        return []

    # -- what the operator must decide, or settle

    def _decide(self, with_files: Sequence[Any], people: Sequence[Any], unknown: Sequence[Any], key: str) -> Action:
        said = []
        if with_files:
            names = _some([f"{each['old']} → {each['new']}" for each in with_files])
            said.append(f"{_count(with_files)} with files would get another name, and with it an empty home: {names}")
        if unknown:
            names = _some([each["old"] for each in unknown])
            said.append(
                f"the name of {_count(unknown)} with files in the field {self.key} is not known: {names}. "
                f"It is known after they have launched once more under the present key{f' ({key})' if key else ''}, "
                "as long as lti_username_key keeps that value"
            )
        title = f"decide about {_count([*with_files, *unknown])} who would get another name"
        return _stop(title, "; ".join(said), _REMEDY, _table(people, unknown))

    def _obstacles(self, people: Sequence[Any]) -> list[Action]:
        admins = [each for each in people if each["old"] in self.admins and each["new"] not in self.admins]
        if admins:
            names = _some([f"{each['old']} → {each['new']}" for each in admins])
            what = f"administrators would lose that right under their new names: {names}"
            return [_stop("keep administrators' rights", what, "Put the new names into admin_users too", "")]
        stuck = [each for each in people if each["problem"]]
        if not stuck:
            return []
        what = f"{_count(stuck)} cannot be renamed: " + _some([f"{each['old']}: {each['problem']}" for each in stuck])
        remedy = (
            "Solve it (in the hub's admin page remove the user who is not needed, then its volume: "
            "docker volume rm jupyterhub-user-…), or run this with --set new_names=leave. Nothing was changed"
        )
        return [_stop(f"solve what prevents the new names of {_count(stuck)}", what, remedy, _table(people, []))]

    # -- what is done

    def _rename(self, people: Sequence[Any], unknown: Sequence[Any]) -> list[Action]:
        pairs = [(each["old"], each["new"]) for each in people]
        stay = f", {_count(unknown)} unknown left as they are" if unknown else ""
        return [
            self._step(
                f"stop the hub and the servers of {_count(people)} (the proxy and all others go on)",
                f"carry.begin, SETTINGS, {pairs!r}",
                "systemctl disable --now jupyterhub; docker rm -f $(docker ps -aq --filter volume=jupyterhub-user-OLD)",
            ),
            *(
                self._step(
                    f"rename {old} to {new} ({_files(each['bytes'])})",
                    f"carry.move, SETTINGS, {old!r}",
                    "docker volume create jupyterhub-user-NEW; mv …/jupyterhub-user-OLD/_data …/jupyterhub-user-NEW/; "
                    "docker volume rm jupyterhub-user-OLD   # and OLD in the folders of courses",
                )
                for (old, new), each in zip(pairs, people, strict=True)
            ),
            self._step(
                f"write {len(people)} new name{'s' if len(people) != 1 else ''} into the hub's database{stay}",
                "carry.finish, SETTINGS",
                "sqlite3 /var/lib/jupyterhub/jupyterhub.sqlite \"UPDATE users SET name = 'NEW' WHERE name = 'OLD'\"",
            ),
        ]

    def _leave(self, with_files: Sequence[Any], unknown: Sequence[Any]) -> Action:
        left = {each["old"]: each.get("new", "") for each in [*with_files, *unknown]}
        said = [f"{_count(with_files)} get an empty home at their next launch"] if with_files else []
        said += [f"{_count(unknown)}, whose next name is not known, may get one too"] if unknown else []
        step = self._step(
            f"leave {len(left)} as they are: {'; '.join(said)}", f"carry.leave, SETTINGS, {left!r}", "# nothing"
        )
        return Action(step.title, step.script, step.shown, step.data, _table(with_files, unknown), step.seconds)

    def _step(self, title: str, call: str, shown: str) -> Action:
        return _step(title, call, shown, _settings(self.key, self.consumers))


@dataclass(frozen=True)
class Interrupted(Resource):
    """No renaming is half done: what was moved is put back, and the hub started with it."""

    label = "an interrupted renaming"

    @override
    def probe(self) -> str:
        return f"[ ! -e {server_paths.STATE}/{_JOURNAL} ] || echo interrupted"

    @override
    def plan(self, found: str) -> list[Action]:
        if not found.strip():
            return []
        title = "put back what an interrupted renaming has moved, and start the hub"
        return [_step(title, "carry.put_back, SETTINGS", "# see its log", _settings("", ()))]


def names(site: Site, *, asks: bool) -> Resource:
    """The names of the hub's people under the site's parameters."""
    versions = {"both": ("1.1", "1.3")}
    consumers = tuple(
        (each.name, each.prefix, versions.get(each.lti_version, (each.lti_version,))) for each in site.all_consumers
    )
    return Names(site.lti_username_key, consumers, site.new_names, tuple(site.admin_users), asks)


def _settings(key: str, consumers: Sequence[Any]) -> dict[str, Any]:
    places = [server_paths.STATE, str(PurePosixPath(server_paths.CONFIG).parent), server_paths.COURSES]
    return {"places": places, "key": key, "consumers": consumers}


def _step(title: str, call: str, shown: str, settings: dict[str, Any]) -> Action:
    # By standard input: names of people are no arguments of a process.
    program = _program(_CARRY, f"sys.exit(carry.run({call}))", settings)
    return Action(title, "python3 -IS -", shown, program.encode(), seconds=900)


@cache
def _source(name: str) -> str:
    return resource_files("hubrun_hub").joinpath(f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")


def _program(modules: Sequence[str], call: str, settings: dict[str, Any]) -> str:
    loads = "".join(f"module({f'hubrun_hub.{name}'!r}, {_source(name)!r})\n" for name in modules)
    last = modules[-1].rpartition(".")[2]
    return f"{_PROGRAM}{loads}from hubrun_hub.renaming import {last}\nSETTINGS = {settings!r}\n{call}\n"


def _stop(title: str, what: str, remedy: str, table: str) -> Action:
    """An action that fails with one line, before anything is changed."""
    script = f"cat\nexit {_ASKED}"
    return Action(title, script, "# nothing before that", table.encode(), table, exit_codes={_ASKED: (what, remedy)})


def _count(people: Sequence[Any]) -> str:
    return f"{len(people)} {'person' if len(people) == 1 else 'people'}"


def _some(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more


def _files(size: int | None) -> str:
    if size is None:
        return "no files"
    if size < 0:
        return "files: not counted"
    return f"files: {size / 1e6:.0f} MB" if size >= 1e6 else f"files: {size / 1e3:.0f} kB"


def _table(people: Sequence[Any], unknown: Sequence[Any]) -> str:
    rows = [(each["old"], each["new"], _files(each["bytes"]), each["problem"]) for each in people]
    rows += [(each["old"], "not known", _files(each["bytes"]), "") for each in unknown]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)] if rows else [0, 0]
    lines = [f"{old:<{widths[0]}}  →  {new:<{widths[1]}}  {files}  {why}".rstrip() for old, new, files, why in rows]
    return "".join(f"{line}\n" for line in lines)
