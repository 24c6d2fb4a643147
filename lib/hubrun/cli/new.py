"""`./hubrun new` writes the params file of a new site."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import click
import idna

from hubrun import params
from hubrun.cli import discovery, params_files
from hubrun.cli.draft import Draft, draft
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.terminal import echo

# Stands for the domain that is not known yet, where a site cannot be without one.
_ANY = "hub.example.edu"
# What has a default, and is not the same for everybody.
_DECIDE = (
    "subdomains: an address for each person; to change it later moves people's addresses",
    "lti_lms, lti_version: which LMS launches, and how",
    "admin_users: who administers the hub; acme_email: who is told when the certificate runs out",
)


@click.command()
@click.argument("name", metavar="SITE")
@click.option("--domain", default="", metavar="HOST", help="The hub's host name.  [default: SITE, if it is one]")
@click.option("--host", default="", metavar="HOST", help="The server's name or address for SSH.  [default: the domain]")
def new(name: str, domain: str, host: str) -> None:
    """Write the params file of a new site, params/SITE.yaml, and say what is left to fill in.

    What can be found out stands in it: the domain's addresses, whether the server answers, its host key, its size. This
    takes at most ten seconds, asks nothing, changes nothing on the server, and works without a network too. A file that is
    there is never written over.

    \b
    ./hubrun new bio --domain hub.bio.example.edu
    ./hubrun new hub.bio.example.edu --host 203.0.113.7
    """
    site, has_domain = planned(name, domain, host)
    path = params_files.FOLDER / f"{site.site}.yaml"
    _check_writable(path)
    if has_domain or host:
        echo(f"looking at DNS and the server (at most {discovery.SECONDS:.0f} s)", err=True)
    made = draft(site, has_domain, discovery.discover(site, has_domain, bool(host)))
    today = datetime.datetime.now(datetime.UTC).date()
    head = [
        f"The site {site.site}. Written by `./hubrun new` on {today}: `Found:` is what was so on that day.",
        "What has a # before its name is a default: take the # away to set something else.",
    ]
    _write(path, made.text(head))
    echo("\n".join(report(made, params_files.shown(path))))


def planned(name: str, domain: str, host: str) -> tuple[Site, bool]:
    """The site that is wanted, and whether its domain is known. Raises BadInput for what cannot be meant."""
    if "://" not in name and re.search(r"[/\\]|\.ya?ml$", name):
        stem = Path(name.replace("\\", "/")).stem
        remedy = (
            f"Give the name alone: {stem}" if re.fullmatch("[a-z0-9-]+", stem) else "Give a name alone, such as bio"
        )
        raise BadInput(f"{name!r} is a path, and the file is params/SITE.yaml", "SITE", remedy)
    given, where = (domain, "--domain") if domain else (name, "SITE")
    known = bool(domain) or "." in name or "://" in name
    if known:
        domain = params.build({"site": "any", "domain": host_name(given, where)}, where).domain
    if "." in name or "://" in name:
        name = host_name(name, "SITE").replace(".", "-")[:41].rstrip("-")
    params.build({"site": name, "domain": _ANY}, "SITE")
    return params.build({"site": name, "domain": domain or _ANY, "ssh_host": host}, "--host"), known


def host_name(given: str, where: str) -> str:
    """A host name as DNS has it: in lower case, without a dot at its end, other letters than a to z in their IDNA form.

    Raises BadInput for something else, with what may be meant.
    """
    if "/" in given:
        remedy = "Give the host name alone"
        with contextlib.suppress(ValueError):
            meant = urlsplit(given if "://" in given else f"//{given}").hostname
            remedy += f": {meant}" if meant else ""
        raise BadInput(f"{given!r} is the address of a page", where, remedy)
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(given)
        remedy = "Give the host name, and the address as --host"
        raise BadInput(f"{given} is an address, for which the hub gets no certificate", where, remedy)
    if given.isascii():
        return given.lower().removesuffix(".")
    try:
        return idna.encode(given.removesuffix("."), uts46=True).decode()  # RFC 5891; UTS #46 for upper case
    except idna.IDNAError as error:
        raise BadInput(f"{given!r} cannot be a host name: {error}", where, "Give it as DNS has it: xn--…") from None


def report(made: Draft, path: str) -> list[str]:
    """What is said at the end: what was found, what is left to do, and the next command."""
    lines = [f"{path} is written."]
    if made.notes:
        lines += ["", "Looked at:"] + [f"  {name}: {line}" for name, found in made.notes.items() for line in found]
    if made.left:
        lines += ["", f"Left for you, in {path} or outside:"] + [f"  {line}" for line in made.left]
    lines += ["", "Before the first install, look through:"] + [f"  {line}" for line in _DECIDE]
    lines += ["", "Then see what would be done; it changes nothing:", f"  ./hubrun plan {shlex.quote(path)}"]
    return lines


def _check_writable(path: Path) -> None:
    """Raise BadInput when the file cannot be made: before anybody waits for anything."""
    if os.path.lexists(path):
        raise _is_there(path)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise BadInput("this account cannot write there", params_files.shown(path.parent), "See who owns it: ls -ld")


def _is_there(path: Path) -> BadInput:
    return BadInput("is there already, and stays as it is", params_files.shown(path), "Edit it, or choose another name")


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise BadInput(
            f"cannot be written: {error.strerror}", params_files.shown(path), "Make room, or repair it"
        ) from None
