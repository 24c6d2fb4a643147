"""`./hubrun launch`: see what a student sees, without a Canvas."""

from __future__ import annotations

import re
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from hubrun import params, server_paths
from hubrun.cli import people
from hubrun.desired.diagnosis import launch_cause
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CheckFailed
from hubrun.lms.launch_page import Form, LaunchPage
from hubrun.lms.lti11 import ROLES, LaunchRequest, canvas_launch, check_username_key
from hubrun.lms.platform13 import OURS, Lms, Person
from hubrun.lms.signing import sign
from hubrun.lms.temporary_consumer import temporary_consumer
from hubrun.params import Site
from hubrun.params.consumers import ConsumerParams
from hubrun.sections.verify.test_users import TEST_USERS
from hubrun.shell import quote
from hubrun.terminal import echo
from hubrun_hub.lti.people import EXACT_KEYS, KEYS, compared
from hubrun_hub.lti.user_hosts import host
from hubrun_hub.lti.user_names import NoIdentity, hub_name
from hubrun_hub.student_volume import volume

Version = Literal["1.1", "1.3"]
# How long the page waits to be opened, and what is there for it on the server, in seconds.
WAIT_S = 600
# After a login the page stays for so long, for a browser that loads it twice.
GRACE_S = 3
_POLL_S = 1.0


@dataclass(frozen=True)
class Plan:
    """Whom to launch, as what, and how.

    `user` is their name on the hub, `id` what the LMS knows them by. `named`: the launch says `identity`, too; somebody whom
    the hub knows is launched by the id alone, as it would keep the name as one of theirs (hubrun_hub/lti/people.py).
    """

    identity: str
    user: str
    role: str
    course: str
    consumer: ConsumerParams
    version: Version
    id: str = ""
    named: bool = True


@click.command()
@click.argument("site_file", metavar="params/SITE.yaml", type=click.Path(path_type=Path))
@click.option(
    "--as", "identity", required=True, metavar="NAME", help="Who: what the LMS would say in lti_username_key."
)
@click.option("--role", type=click.Choice(list(ROLES)), default="Learner", show_default=True, help="In the course.")
@click.option("--course", default="", metavar="TITLE", help="Launch from this course; its groups are made on the hub.")
@click.option("--consumer", default="default", show_default=True, metavar="NAME", help="As this LMS, of `consumers`.")
@click.option("--lti", type=click.Choice(["1.1", "1.3"]), help="Version.  [default: the site's; of both, 1.1]")
@click.option("--no-browser", is_flag=True, help="Only print the address, for a browser of your choice.")
def launch(
    site_file: Path, identity: str, role: str, course: str, consumer: str, lti: Version | None, no_browser: bool
) -> int:
    """Launch somebody as Canvas would, in your browser: see what a student sees.

    The page that opens posts a launch to the hub, signed at that moment. For LTI 1.3 the hub is told of an LMS that is
    played here, until the launch is done. It is a real launch: it is their own home that opens if the hub knows the
    person, and else one is made, which is not theirs whom the LMS may launch later under this name. The command ends
    after the login, or with Ctrl-C.

    \b
    ./hubrun launch params/bio.yaml --as student1
    ./hubrun launch params/bio.yaml --as teacher1 --role Instructor --course "BIO 101"
    """
    site = params.load(site_file)
    plan = make_plan(site, identity, role, course, consumer, lti)
    with Server.connect(site) as server, ExitStack() as stack:
        plan = with_person(plan, site, people.ask(server, "list"))
        page = prepare(server, plan, stack)
        echo(announcement(site, plan, known(server, plan.user)), err=True)
        stack.enter_context(page.serving())
        click.echo(page.url)  # on standard output there is nothing but the address
        if no_browser:
            echo("Open this address, once, in a browser on this machine.", err=True)
        elif not webbrowser.open(page.url):
            echo("No browser was found: open this address in one on this machine.", err=True)
        since = server.probe("date +%s")[0].stdout.strip()
        return wait(
            page, plan, lambda: server.probe(f"journalctl -u jupyterhub -o cat --no-pager --since @{since}")[0].stdout
        )


def make_plan(site: Site, identity: str, role: str, course: str, consumer: str, lti: Version | None) -> Plan:
    """Whom to launch and how. Raises BadInput for what the hub would refuse, and for what the site does not have."""
    found = next((each for each in site.all_consumers if each.name == consumer), None)
    if found is None:
        names = ", ".join(each.name for each in site.all_consumers)
        raise BadInput(f"the site has no consumer {consumer!r}", "--consumer", f"It has {names}")
    versions: list[Version] = [each for each in ("1.1", "1.3") if found.has(each)]  # type: ignore[misc]
    if lti and lti not in versions:
        where = "lti_version" if consumer == "default" else f"the lti_version of consumer {consumer}"
        raise BadInput(f"{where} is {found.lti_version}: the hub takes no launches with LTI {lti}", "--lti")
    key = site.username_key(found)
    check_username_key(key)
    try:
        user = hub_name(identity, found.prefix, exact=key in EXACT_KEYS)
    except NoIdentity:
        raise BadInput(f"{identity!r} is nobody: the hub refuses such a launch", "--as", "Give a name") from None
    if identity in TEST_USERS:
        raise BadInput(f"{identity} is a test user of 06_verify, which removes it", "--as", "Choose another name")
    return Plan(identity, user, role, course, found, lti or versions[0])


def with_person(plan: Plan, site: Site, said: dict[str, Any]) -> Plan:
    """The plan for the person whom the hub knows by this name, or for a new one. said: by `people.ask`.

    Raises BadInput for somebody who cannot be launched as who they are.
    """
    key = site.username_key(plan.consumer)
    value = compared(key, plan.identity)
    same = {each.name for each in site.all_consumers if each.prefix == plan.consumer.prefix} | {"hubruntest"}
    name = "user_id" if plan.version == "1.1" else "sub"
    ours = OURS + plan.identity
    found = [
        each for each in said["people"]
        if [plan.version, name, plan.identity if key == "user_id" else ours] in [row[1:] for row in each["ids"]]
        or any(row[0] in same and (row[1], row[3]) == (key, value) for row in each["fields"])
        or each["user"] == plan.user
    ]  # fmt: skip
    if not found:
        if plan.user in said["unowned"]:
            what = f"the hub user {plan.user} is there, and nobody is known to own it"
            raise BadInput(what, "--as", "Launch it from the LMS once (see adopt_users in 02), or choose another name")
        return replace(plan, id=plan.identity if key == "user_id" else ours)
    person = min(found, key=lambda each: float(each["since"]))
    ids = [row[3] for row in person["ids"] if row[0] in same and row[1:3] == [plan.version, name]]
    ids += [row[3] for row in person["ids"] if row[3].startswith(OURS)]
    if not ids:
        what = f"{person['user']} has not come with LTI {plan.version} yet"
        raise BadInput(what, "--lti", "Use the other version, or let them come from the LMS once")
    return replace(plan, user=person["user"], id=ids[0], named=False)


def known(server: Server, user: str) -> set[str]:
    """ "user" when the hub knows the user, "home" when there are files of theirs."""
    script = quote(
        f"{server_paths.program('is_user')} {{}} {{}}\ndocker volume inspect {{}} >/dev/null 2>&1 && echo home\ntrue",
        f"{server_paths.STATE}/jupyterhub.sqlite", user, volume(user),
    )  # fmt: skip
    return set(server.probe(script)[0].stdout.split())


def announcement(site: Site, plan: Plan, there: set[str]) -> str:
    """What will happen, before it does."""
    course = f"in the course {plan.course!r}" if plan.course else "outside a course"
    lines = [
        f"{plan.identity} will be logged in to {site.url} as the hub's user {plan.user} "
        f"({plan.role} {course}, LTI {plan.version} of consumer {plan.consumer.name})."
    ]
    if "home" in there:
        lines.append("There is such a person already: what opens is their own home, with their own files.")
    elif "user" in there:
        lines.append("There is such a user already, without any files yet: what opens will be that person's own home.")
    else:
        lines.append("The hub has no such user yet: the launch makes one, and the home is new and empty.")
    if site.public_address and not site.domain.endswith(".localhost"):
        names = f"{site.domain} and {host(plan.user, site.domain)}" if site.subdomains else site.domain
        lines.append(f"Your browser must find {names} at {site.public_address} (hosts file).")
    if site.trust_ca_file:
        lines.append(f"Your browser warns of the certificate unless it trusts {site.trust_ca_file}.")
    return "\n".join(lines)


def prepare(server: Server, plan: Plan, stack: ExitStack) -> LaunchPage:
    """The page; what it needs on the server is there until `stack` ends. Raises HubrunError."""
    site = server.site
    title = f"Launching {plan.identity} on {site.domain}"
    if plan.version == "1.1":
        key = site.username_key(plan.consumer)
        form = canvas_launch(
            site.launch_url, username=plan.identity, user_id=plan.id,
            username_key=key, course=plan.course, role=plan.role,
        )  # fmt: skip
        # Whatever else says who somebody is would be untrue, and the hub keeps it for the person.
        said = (key, "user_id") if plan.named else ("user_id",)
        form = {name: value for name, value in form.items() if name in said or name not in KEYS}
        request = LaunchRequest(site.launch_url, form, env_file=server_paths.secret_path(plan.consumer.name))
        sign(server, [request])  # what is wrong is said before a browser opens
        page = LaunchPage(title, lambda hint: Form(site.launch_url, sign(server, [request])[0]))
        # The hub compares where the form comes from with what the launch says of its LMS (hubrun_hub/lti/cross_site.py).
        form["launch_presentation_return_url"] = page.root
        return page
    named = plan.identity if plan.named else None
    person = Person(named, site.lti_username_key, plan.role, plan.course, plan.id)
    lms: list[Lms] = []
    page = LaunchPage(
        title,
        lambda hint: Form(lms[0].login_url, lms[0].opening(hint)),
        lambda question: Form(
            lms[0].callback, lms[0].answer(question, lms[0].key.sign(lms[0].claims(question, person)))
        ),
    )
    # The names are those that Canvas's launches give: so is the prefix.
    consumer = temporary_consumer(
        server, prefix=plan.consumer.prefix, authorize_url=page.authorize_url, seconds=WAIT_S + 60
    )
    lms.append(stack.enter_context(consumer))
    return page


def wait(page: LaunchPage, plan: Plan, read_log: Callable[[], str], seconds: float = WAIT_S) -> int:
    """Wait for the login of a launch, and say what becomes of it. Raises CheckFailed when nothing does in time."""
    deadline = time.monotonic() + seconds
    told: set[str] = set()
    while time.monotonic() < deadline:
        if not page.opened.wait(_POLL_S):
            continue
        log = read_log()
        if logged_in(log, plan.user):
            echo(f"{plan.user} is logged in.", err=True)
            time.sleep(GRACE_S)
            return 0
        for line, reason in refusals(log):
            if line not in told:
                told.add(line)
                echo(f"The hub's log: {line}\n    {launch_cause(0, False, reason)}", err=True)
        time.sleep(_POLL_S)
    what = "the hub's log tells of no login" if page.opened.is_set() else "nobody opened the page"
    raise CheckFailed(f"{what} within {seconds / 60:.0f} minutes", page.root, "Run it again")


def logged_in(log: str, user: str) -> bool:
    """Whether the hub's log says that the user logged in (jupyterhub.handlers.base, `login_user`)."""
    return re.search(rf"User logged in: {re.escape(user)}$", log, re.MULTILINE) is not None


def refusals(log: str) -> list[tuple[str, str]]:
    """What the hub's log says of launches that it refused (hubrun_hub/lti/refusals.py), each with the reason."""
    return re.findall(r"(LTI launch(?: by consumer \S+)? refused \(([a-z-]+)\): .*)", log)
