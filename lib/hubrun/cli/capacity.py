"""`./hubrun capacity`: how many servers of which size so many students need."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hubrun import params
from hubrun.cli import capacity_plan as plans
from hubrun.cli.status import look
from hubrun.cli.status_report import size
from hubrun.errors import CommandFailed
from hubrun.params import Site
from hubrun.terminal import Terminal, echo
from hubrun_hub.starting import line

_NAMES = {
    "share": ("students who work at once", "{:.0%}"), "server_mb": ("memory of one server", "{:.0f} MB"),
    "server_cores": ("processor of one server", "{:.2f} cores"), "home_mb": ("files of one student", "{:.0f} MB"),
    "system_mb": ("memory of all else on a server", "{:.0f} MB"), "hub_s": ("hub's processor for a start", "{:.3f} s"),
    "proxy_s": ("proxy's processor for a start", "{:.3f} s"), "write_s": ("database writes for a start", "{:.3f} s"),
}  # fmt: skip


@click.command()
@click.argument("site_file", metavar="params/SITE.yaml", type=click.Path(path_type=Path))
@click.option("--students", type=click.IntRange(1, 1_000_000), required=True, help="How many there are.")
@click.option(
    "--at-once", type=click.IntRange(1, 1_000_000), help="How many of them work at once; else as measured, or 60 %."
)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def capacity(site_file: Path, students: int, at_once: int | None, as_json: bool) -> int:
    """Say how many servers of which size so many students need, what would be scarce first, and what that rests on.

    \b
    ./hubrun capacity params/bio.yaml --students 300                  as many at once as was measured, or 60 %
    ./hubrun capacity params/bio.yaml --students 300 --at-once 300    an exam: all of them

    It asks the site's server what it measured (./hubrun run watch measures, every five minutes) and changes nothing. What
    was not measured yet has a default, and its source is named.
    """
    if at_once is not None and at_once > students:
        raise click.BadParameter("more than there are students", param_hint="--at-once")
    site = params.load(site_file)
    status = look(site_file)
    if status.error:
        raise CommandFailed(status.error, str(site_file))
    has = plans.machine(status.seen)
    if has is None:
        raise CommandFailed(
            "the server does not say how large it is", site.host,
            f"It was set up by an earlier version: ./hubrun install {site_file}, then ./hubrun run watch {site_file}",
        )  # fmt: skip
    found = data(site, status.seen, has, students, at_once)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        console = Terminal()
        (console if console.is_terminal else Terminal(width=160)).print(shown(found))
        echo(f"\n{last_line(found)}")
    return 0


def data(site: Site, seen: dict[str, Any], has: plans.Machine, students: int, at_once: int | None) -> dict[str, Any]:
    """All that is said, for JSON. Pure."""
    used = plans.use(seen)
    if at_once is None:
        at_once = math.ceil(students * used.share.value)
    limits = site.user_memory_mb, line.SPARE_MB
    sizes = [has, *(plans.Machine(gigabytes * 1024, cores) for gigabytes, cores in plans.SIZES)]
    parts = plans.parts(used, has, students, at_once, *limits)
    return {
        "site": site.site, "students": students, "at_once": at_once, "server": asdict(has),
        "use": {name: asdict(getattr(used, name)) for name in _NAMES},
        "counted_mb": plans.each_mb(used, limits[0]), "homes_gb": students * used.home_mb.value * plans.HEADROOM / 1024,
        "parts": [asdict(each) | {"share": each.share} for each in parts],
        "offers": [asdict(each) for each in plans.offers(used, sizes, at_once, *limits)],
    }  # fmt: skip


def shown(found: dict[str, Any]) -> RenderableType:
    """For a terminal. Pure."""
    title = f"{found['students']} students, {found['at_once']} of them at once; each server is counted with {size(round(found['counted_mb']))}"
    scarce = _table(f"On {found['site']}'s server alone", "", "needed", "there is", "used")
    for part in found["parts"]:
        scarce.add_row(
            part["name"],
            _amount(part["needed"], part["unit"]),
            _amount(part["has"], part["unit"]),
            f"{part['share']:.0%}",
        )
    offers = _table("Servers that they need", "size", "students on the first", "on each further", "servers")
    for number, offer in enumerate(found["offers"]):
        machine = offer["machine"]
        name = f"{size(machine['memory_mb'])}, {machine['cores']:g} cores" + (" (as now)" if number == 0 else "")
        offers.add_row(name, str(offer["first"]), str(offer["further"]), str(offer["count"] or "too small"))
    rests = _table("What that rests on", "", "", "from")
    for name, (words, form) in _NAMES.items():
        value = found["use"][name]
        rests.add_row(words, form.format(value["value"]), value["source"])
    return Group(Text(title, "bold"), scarce, offers, rests)


def last_line(found: dict[str, Any]) -> str:
    """The answer, in a sentence or two. Pure."""
    count, first = found["offers"][0]["count"], found["parts"][0]
    stays = next(each for each in found["parts"] if not each["grows"])
    disk = f" Homes take {found['homes_gb']:.0f} GB."
    assumed = sum(not each["measured"] for each in found["use"].values())
    rest = f" {assumed} of {len(found['use'])} numbers are assumed, not measured." if assumed else ""
    scarce = f"{first['name']} is scarce first ({first['share']:.0%} used)"
    if count is None:
        return f"No number of servers of this size is enough: it is too small. {scarce}.{disk}{rest}"
    if stays["share"] > 1:
        scarce += f", and {stays['name']} ({stays['share']:.0%}) is not helped by further servers"
    servers = "One server as now is enough" if count == 1 else f"{count} servers as this one are needed"
    return f"{servers}: {scarce}.{disk}{rest}"


def _amount(value: float, unit: str) -> str:
    if unit == "MB":
        return size(round(value))
    return f"{value:.0%} {unit}" if unit == "of the time" else f"{value:.2f} {unit}"


def _table(title: str, *columns: str) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="dim", title=f"\n{title}", title_justify="left", title_style="bold"
    )
    for place, name in enumerate(columns):
        right = place and name != "from"
        table.add_column(name, overflow="fold", justify="right" if right else "left")
    return table
