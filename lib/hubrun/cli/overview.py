"""What is said when no command was given, or one that there is not: what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from hubrun import params
from hubrun.cli import params_files
from hubrun.errors import BadInput
from hubrun.records.ledger.history import History

# Of more sites than this, the others are only counted.
_MOST = 8


@dataclass(frozen=True)
class SiteState:
    """A params file, as it is typed; mode and status of the site's last run: those of its manifest, "" for no run.

    broken: the params file or the manifest cannot be read.
    """

    file: str
    mode: str = ""
    status: str = ""
    broken: bool = False


def sites(records: Path) -> list[SiteState]:
    """The sites that have a params file of their own, then the practice servers."""
    return [_state(path, records) for path in (*params_files.own(), *params_files.practice())]


def _state(path: Path, records: Path) -> SiteState:
    file = params_files.shown(path)
    try:
        values, _ = params.read_yaml(path)
        site = params.build({"site": values.get("site", ""), "domain": "hub.example.edu"}, file).site
        records_of_runs = (run.manifest().predicate for run in reversed(History(records, site).runs()))
        last = next((record for record in records_of_runs if record.mode != "prune"), None)
    except (BadInput, OSError):
        return SiteState(file, broken=True)
    return SiteState(file, last.mode, last.status) if last else SiteState(file)


def lines(found: Sequence[SiteState]) -> list[str]:
    """What to do next, in lines: for each site, else how to begin."""
    said = []
    for state in found[:_MOST]:
        why, command = _next(state)
        said += [f"{state.file}: {why}", f"    ./hubrun {command}"]
    if found[_MOST:]:
        said.append(f"and {len(found) - _MOST} more in {params_files.shown(params_files.FOLDER)}/")
    said += [""] if found else ["There is no params file of a site of yours yet.", ""]
    said += [] if found else ["Try it, on a practice server:      ./hubrun practice"]
    said += [
        f"Begin with {'another' if found else 'a server of your own'}:".ljust(35) + "./hubrun new SITE",
        "All commands:".ljust(35) + "./hubrun --help",
    ]
    return said


def _next(state: SiteState) -> tuple[str, str]:
    """Why, and the command (behind ./hubrun)."""
    file = shlex.quote(state.file)
    if state.broken:
        return "something in it, or in its last record, is not right. This says what:", f"plan {file}"
    if not state.status:
        return "nothing was run yet. See what would be done; it changes nothing:", f"plan {file}"
    if state.status == "running":
        return "a run goes on, or was killed. See:", "records list"
    if state.status in ("failed", "interrupted"):
        if state.mode == "install":
            ended = "failed" if state.status == "failed" else "was interrupted"
            return f"the last install {ended}. To go on:", f"install {file} --resume"
        return "the last run did not end well. See what would be done:", f"plan {file}"
    if state.status == "would change":
        return "the last plan found something to do. To do it:", f"install {file}"
    return "set up. See whether something was changed by hand since:", f"plan {file}"


def check_command(arguments: Sequence[str]) -> None:
    """Raise BadInput when a params file, or a site's name, stands where a command should be."""
    word = arguments[0]
    named = params_files.FOLDER / f"{word}.yaml"
    if word.endswith((".yaml", ".yml")):
        what, file = "is a params file, and not a command", word
    elif named in params_files.own():
        what, file = "is a site, and not a command", params_files.shown(named)
    else:
        return
    raise BadInput(what, word, f"Did you mean ./hubrun {shlex.join(['plan', file, *arguments[1:]])}?")


def missing(error: click.MissingParameter) -> str:
    """Where the params file is missing in a command: those that there are, or how to make one. "" for something else."""
    if not error.param or error.param.name not in ("site_file", "site_files"):
        return ""
    files = [params_files.shown(path) for path in params_files.own()]
    return f"There {'are' if files[1:] else 'is'} {', '.join(files)}" if files else "./hubrun new SITE makes one"
