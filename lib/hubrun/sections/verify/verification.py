"""Plays the LMS and two students, from outside, over HTTPS: what 06_verify does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps

from hubrun.desired.cards import ProgressLine
from hubrun.desired.checks import Check
from hubrun.desired.server import Server
from hubrun.errors import HubrunError
from hubrun.lms import lti11, lti11_cases, lti13_cases, temporary_consumer
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.lms.lti11 import LaunchRequest
from hubrun.lms.platform13 import Person
from hubrun.lms.signing import sign
from hubrun.lms.temporary_consumer import temporary_consumer as played_lms
from hubrun.params.consumers import ConsumerParams
from hubrun.sections.https import site_certificate, student_addresses
from hubrun.sections.verify import network_reach, outside_checks, test_users
from hubrun.sections.verify.test_users import STRANGER, STUDENTS
from hubrun.server_paths import secret_path
from hubrun.shell import quote
from hubrun_hub.lti.user_names import hub_name
from hubrun_hub.student_volume import escaped

FILE = "hubrun-verify.txt"
CLOSED = (8000, 8001, 8081)


def _cleaning_up(step: Callable[[Verification], list[Check]]) -> Callable[[Verification], list[Check]]:
    """A step that leaves no trace: in check mode it does not run, and when it fails the test users go at once."""

    @wraps(step)
    def run(self: Verification) -> list[Check]:
        if self.server.check_mode:
            return []
        try:
            checks = step(self)
        except HubrunError:
            with suppress(HubrunError):  # the first error is the one to tell
                self.clean_up()
            raise
        if not all(check.ok for check in checks):
            self.clean_up()
        return checks

    return run


class Verification:
    """The checks of a site from outside. Each method returns its findings; `Server.require` shows and judges them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.site = server.site
        self.route = Route.to(self.site)
        self._live = ProgressLine()
        # Each by itself: asked of several, systemctl says yes when one of them runs.
        running = "for unit in nginx jupyterhub jupyterhub-proxy docker; do systemctl is-active -q $unit || exit; done"
        if server.check_mode and server.probe(running)[0].exit_code != 0:
            server.pending.append("what 02 to 04 install")

    # -- what anybody sees
    def outside(self) -> list[Check]:
        """Health, certificate chain (and that it is the file on the server), redirect, the launch URL."""
        if self.server.pending:
            return []
        shown = quote("openssl x509 -in {} -noout -fingerprint -sha256", site_certificate.paths(self.site)[0])
        fingerprint = self.server.probe(shown)[0].stdout
        return [
            outside_checks.check_health(self.route),
            outside_checks.check_certificate(self.route, fingerprint),
            outside_checks.check_redirect(self.route, self.site.http_port),
            outside_checks.check_launch_get(self.route),
        ]

    # -- launches
    def sign(self, launches: Sequence[LaunchRequest]) -> list[dict[str, str]]:
        """Have the launches signed on the server, where the secrets are and stay."""
        return sign(self.server, launches)

    def form(self, user: str, consumer: ConsumerParams | None = None) -> dict[str, str]:
        """A launch of `user` from outside a course, so that no group of a course is made; by the first consumer, or another."""
        key = self.site.username_key(consumer or self._signing[0]) if self._signing else self.site.lti_username_key
        return lti11.canvas_launch(
            self.site.launch_url,
            username=user,
            user_id=f"opaque-{user}",
            username_key=key,
            course="",
        )

    @property
    def _signing(self) -> list[ConsumerParams]:
        """The consumers with LTI 1.1, whose launches can be signed."""
        return [each for each in self.site.all_consumers if each.has("1.1")]

    def name(self, user: str) -> str:
        """What the hub calls whom the LMS calls `user`, by the consumer that `login` launches them with."""
        return hub_name(user, self._signing[0].prefix if self._signing else temporary_consumer.NAME)

    def login(self, user: str) -> tuple[Browser, Check]:
        """A browser in which the LMS has launched `user`, and the finding about that launch."""
        browser = Browser(self.route)
        if self._signing:
            request = LaunchRequest(self.site.launch_url, self.form(user), env_file=secret_path(self._signing[0].name))
            (signed,) = self.sign([request])
            launch = browser.launch(self.site.launch_url, signed)
        else:
            with played_lms(self.server) as lms:
                launch = lti13_cases.launch(browser, lms, Person(user, self.site.lti_username_key))
        return browser, outside_checks.check_accepted(launch, self.name(user))

    @_cleaning_up
    def launches(self) -> list[Check]:
        """Each version's launch matrix, and a good launch of each further consumer with LTI 1.1."""
        return [*self._launches11(), *self._launches13()]

    def _launches11(self) -> list[Check]:
        if not self._signing:
            return []
        url, form = self.site.launch_url, self.form(STRANGER)
        first, *others = self._signing
        key, minutes = self.site.username_key(first), self.site.lti_launch_minutes
        cases = lti11_cases.cases(url, form, key, self.name(STRANGER), secret_path(first.name), minutes)
        cases += [
            lti11_cases.Case(
                f"good, of consumer {each.name}", LaunchRequest(url, self.form(STRANGER, each), env_file=secret_path(each.name)),
                lti11_cases.Wanted(user=hub_name(STRANGER, each.prefix)),
            )
            for each in others
        ]  # fmt: skip
        return lti11_cases.check(self.route, cases, self.sign)

    def _launches13(self) -> list[Check]:
        if not any(each.has("1.3") for each in self.site.all_consumers):
            return []
        person = Person(STRANGER, self.site.lti_username_key)
        with played_lms(self.server) as lms:
            stranger = hub_name(STRANGER, temporary_consumer.NAME)
            cases = lti13_cases.cases(lms, STRANGER, stranger, self.site.lti_launch_minutes)
            return lti13_cases.check(self.route, lms, cases, person)

    # -- students
    @_cleaning_up
    def work(self) -> list[Check]:
        """A student launches, gets JupyterLab, runs a cell, and finds a file again after the server was stopped."""
        browser, launched = self.login(STUDENTS[0])
        with browser:
            if not launched.ok:
                return [launched]
            opened = browser.start(180, self._live.line)
            answer = browser.run_cell("6*7")
            browser.write_file(FILE, "kept")
            browser.stop()
            browser.start(180, self._live.line)
            kept = browser.read_file(FILE)
        return [
            launched,
            Check("JupyterLab opens", True, "JupyterLab", opened),
            Check("a kernel runs 6*7 through the websocket", answer == "42", "42", answer),
            Check("a file survives stop and start", kept == "kept", "kept", kept),
        ]

    @_cleaning_up
    def privacy(self) -> list[Check]:
        """A second student sees nothing of the first, whose server still runs; nor what is inside: see reach.py."""
        first = self.name(STUDENTS[0])
        neighbour = self.server.run(test_users.address_script(self.site, first)).stdout.strip()
        browser, launched = self.login(STUDENTS[1])
        with browser:
            if not launched.ok:
                return [launched]
            browser.start(180, self._live.line)
            checks = [
                launched,
                outside_checks.check_private(browser, first, FILE, student_addresses.root(self.site, first)),
            ]
            # What containers were called when their names told whose they are.
            names = [f"jupyter-{escaped(first)}", first]
            checks += network_reach.checks(self.server, browser, neighbour, names, first)
        if self.site.https_port == 443:  # else a forwarder stands before the server, and its ports say nothing
            checks += [
                outside_checks.check_closed(self.site.public_address or self.site.domain, port) for port in CLOSED
            ]
        return checks

    def clean_up(self) -> list[Check]:
        """Remove the test users with their containers and volumes, and the consumer that plays the LMS."""
        if self.server.check_mode:
            return []
        left = test_users.remove(self.server)
        return [
            Check(
                "test users, containers, volumes and the test's LMS are removed", not left, "nothing",
                ", ".join(left) or "nothing", "90-local.py may replace c.Authenticator.post_auth_hook or "
                "c.JupyterHub.load_roles of 20-hub.py, by which 06_verify may remove its test users: add to them",
            )
        ]  # fmt: skip
