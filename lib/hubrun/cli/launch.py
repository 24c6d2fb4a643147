"""`./hubrun launch`: see what a student sees, without a Canvas."""

from __future__ import annotations

import re
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hubrun import params
from hubrun.errors import BadInput, CheckFailed
from hubrun.lms.lti11 import ROLES
from hubrun.terminal import echo

if TYPE_CHECKING:
    from hubrun.desired.server import Server
    from hubrun.lms.launch_page import LaunchPage
    from hubrun.params import Site
    from hubrun.params.consumers import ConsumerParams

Version = Literal["1.1", "1.3"]
# How long the page waits to be opened, and what is there for it on the server, in seconds.
WAIT_S = 600
# After a login the page stays for so long, for a browser that loads it twice.
GRACE_S = 3
_POLL_S = 1.0

# Whether the hub knows the user, and whether there is a home of theirs.
_KNOWN = "{program} {} {}\ndocker volume inspect {} >/dev/null 2>&1 && echo home\ntrue"
_SINCE = "journalctl -u jupyterhub -o cat --no-pager --since @{}"


def say(text: str) -> None:
    """Print a line to standard error: on standard output there is only the address."""
    echo(text, err=True)


@dataclass(frozen=True)
class Plan:
    """Whom to launch, as what, and how. `user` is their name on the hub."""

    identity: str
    user: str
    role: str
    course: str
    consumer: ConsumerParams
    version: Version


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
    played here, until the launch is done. It is a real launch: the user is made if the hub has none of that name, and
    if there is one, it is their own home that opens. The command ends after the login, or with Ctrl-C.

    \b
    ./hubrun launch params/bio.yaml --as student1
    ./hubrun launch params/bio.yaml --as teacher1 --role Instructor --course "BIO 101"
    """
    from hubrun.desired.server import Server  # slow to import: `hubrun --help` must not wait for it

    site = params.load(site_file)
    plan = make_plan(site, identity, role, course, consumer, lti)
    with Server.connect(site) as server, ExitStack() as stack:
        page = prepare(server, plan, stack)
        say(announcement(site, plan, known(server, plan.user)))
        stack.enter_context(page.serving())
        click.echo(page.url)
        if no_browser:
            say("Open this address, once, in a browser on this machine.")
        elif not webbrowser.open(page.url):
            say("No browser was found: open this address in one on this machine.")
        return wait(page, plan, log_reader(server))


def make_plan(site: Site, identity: str, role: str, course: str, consumer: str, lti: Version | None) -> Plan:
    """Whom to launch and how. Raises BadInput for what the hub would refuse, and for what the site does not have."""
    from hubrun.lms.lti11 import check_username_key
    from hubrun.sections.verify.test_users import TEST_USERS
    from hubrun_hub.lti.people import EXACT_KEYS
    from hubrun_hub.lti.user_names import NoIdentity, hub_name

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


def known(server: Server, user: str) -> set[str]:
    """ "user" when the hub knows the user, "home" when there are files of theirs."""
    from hubrun import server_paths
    from hubrun.shell import quote
    from hubrun_hub.student_volume import volume

    database = f"{server_paths.STATE}/jupyterhub.sqlite"
    return set(
        server.probe(quote(_KNOWN.replace("{program}", server_paths.program("is_user")), database, user, volume(user)))[
            0
        ].stdout.split()
    )


def announcement(site: Site, plan: Plan, there: set[str]) -> str:
    """What will happen, before it does."""
    from hubrun_hub.lti.user_hosts import host

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
    from hubrun.lms.launch_page import Form, LaunchPage
    from hubrun.lms.lti11 import LaunchRequest, canvas_launch
    from hubrun.lms.platform13 import Lms, Person
    from hubrun.lms.signing import sign
    from hubrun.lms.temporary_consumer import temporary_consumer
    from hubrun.server_paths import secret_path
    from hubrun_hub.lti.people import KEYS

    site = server.site
    title = f"Launching {plan.identity} on {site.domain}"
    if plan.version == "1.1":
        key = site.username_key(plan.consumer)
        form = canvas_launch(
            site.launch_url, username=plan.identity, user_id="",
            username_key=key, course=plan.course, role=plan.role,
        )  # fmt: skip
        # Whatever else says who somebody is would be untrue, and the hub keeps it for the person (hubrun_hub/lti/people.py).
        form = {name: value for name, value in form.items() if name == key or name not in KEYS}
        request = LaunchRequest(site.launch_url, form, env_file=secret_path(plan.consumer.name))
        sign(server, [request])  # what is wrong is said before a browser opens
        page = LaunchPage(title, lambda hint: Form(site.launch_url, sign(server, [request])[0]))
        # The hub compares where the form comes from with what the launch says of its LMS (hubrun_hub/lti/cross_site.py).
        form["launch_presentation_return_url"] = page.root
        return page
    person = Person(plan.identity, site.lti_username_key, plan.role, plan.course)
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


def log_reader(server: Server) -> Callable[[], str]:
    """A function that returns what the hub has logged since now."""
    since = server.probe("date +%s")[0].stdout.strip()
    return lambda: server.probe(_SINCE.format(since))[0].stdout


def wait(page: LaunchPage, plan: Plan, read_log: Callable[[], str], seconds: float = WAIT_S) -> int:
    """Wait for the login of a launch, and say what becomes of it. Raises CheckFailed when nothing does in time."""
    from hubrun.desired.diagnosis import launch_cause

    deadline = time.monotonic() + seconds
    told: set[str] = set()
    while time.monotonic() < deadline:
        if not page.opened.wait(_POLL_S):
            continue
        log = read_log()
        if logged_in(log, plan.user):
            say(f"{plan.user} is logged in.")
            time.sleep(GRACE_S)
            return 0
        for line, reason in refusals(log):
            if line not in told:
                told.add(line)
                say(f"The hub's log: {line}\n    {launch_cause(0, False, reason)}")
        time.sleep(_POLL_S)
    what = "the hub's log tells of no login" if page.opened.is_set() else "nobody opened the page"
    raise CheckFailed(f"{what} within {seconds / 60:.0f} minutes", page.root, "Run it again")


def logged_in(log: str, user: str) -> bool:
    """Whether the hub's log says that the user logged in (jupyterhub.handlers.base, `login_user`)."""
    return re.search(rf"User logged in: {re.escape(user)}$", log, re.MULTILINE) is not None


def refusals(log: str) -> list[tuple[str, str]]:
    """What the hub's log says of launches that it refused (hubrun_hub/lti/refusals.py), each with the reason."""
    return [
        (found[0], found[1])
        for found in re.findall(r"(LTI launch(?: by consumer \S+)? refused \(([a-z-]+)\): .*)", log)
    ]
