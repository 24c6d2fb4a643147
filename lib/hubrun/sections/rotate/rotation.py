"""What is replaced, as the parameter `rotate` says: the resources of each step of 14_rotate, and its tests."""

from __future__ import annotations

from IPython.display import Markdown

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.params.consumers import ConsumerParams
from hubrun.resources.backups import BackupPassword
from hubrun.resources.rotated import Rotated, RotatedSecret, good_until
from hubrun.sections.canvas.tables import table
from hubrun.sections.hub import config, hub_setup
from hubrun.sections.upgrade import hub_upgrade
from hubrun.server_paths import (
    BACKUP,
    BACKUP_SETTINGS,
    COOKIE_SECRET,
    DEFAULT_CONSUMER,
    HUB_CODE,
    PROXY_ENV,
    TOOL_KEY,
    VENV,
    program,
    secret_path,
)
from hubrun.shell import quote
from hubrun_hub.lti.consumers import BY_FORMER, CLIENT_SECRET

_LTI = "lti_secret"
_LOGIN_NOTICE = (
    "everybody comes in by a launch once more; notebooks that are open go on, and can save again after that launch"
)


def consumers(site: Site) -> list[ConsumerParams]:
    """The consumers whose secret is to be replaced. Raises BadInput for one that has none."""
    known = {each.name: each for each in site.all_consumers if each.has("1.1")}
    names = [each.partition(":")[2] or DEFAULT_CONSUMER for each in site.rotate if each.partition(":")[0] == _LTI]
    if wrong := [name for name in names if name not in known]:
        there = ", ".join(_LTI if name == DEFAULT_CONSUMER else f"{_LTI}:{name}" for name in known) or "none"
        raise BadInput(f"there is no secret of LTI 1.1 of consumer {wrong[0]}", "parameter rotate", f"There is {there}")
    return [known[name] for name in dict.fromkeys(names)]


def check_choice(site: Site) -> None:
    """Raise BadInput where `rotate` says nothing, or something that the site does not have."""
    if not site.rotate:
        raise BadInput(
            "it is not said what to replace", "parameter rotate",
            "Add --set rotate=lti_secret, or one of the others that this runbook names",
        )  # fmt: skip
    consumers(site)
    has = {
        "tool_key": (any(each.has("1.3") for each in site.all_consumers), "no LMS of this site uses LTI 1.3"),
        "backup_password": (bool(site.backup_target), "backup_to is not set"),
        "certificate": (site.tls == "files", "with tls: acme, certbot renews it by itself"),
    }
    for name, (there, why) in has.items():
        if name in site.rotate and not there:
            raise BadInput(f"{name} cannot be replaced: {why}", "parameter rotate", "Leave it out")


def before_tests(site: Site) -> list[Test]:
    """Tests that what is to be replaced is there: the hub that runs knows a second secret, and the repository can be used.
    And that the hub of before an upgrade will not be put back, with its secrets."""
    code = f"{HUB_CODE}/lti/consumers.py"
    tests = [
        Test(
            "the hub runs with this version of the project",
            quote(
                """code={} program={}
                since=$(date -d "$(systemctl show jupyterhub -p ExecMainStartTimestamp --value)" +%s)
                [ -e "$program" ] && [ "$(stat -c %Y "$code")" -le "$since" ] && echo yes""",
                code, f"{HUB_CODE}/rotation.py",
            ),
            prints="^yes$", remedy="Run ./hubrun install first: the server was set up by a version before",
        ),
        # Put back, it would bring the secrets of before, which the LMS no longer has.
        Test(
            "no upgrade is half done", quote("[ ! -d {} ] && echo none", hub_upgrade.copy(site).folder), "^none$",
            remedy="Run 13_upgrade first, to its end",
        ),
    ]  # fmt: skip
    for each in consumers(site):
        script = quote(f"grep -c '^{CLIENT_SECRET}=.' {{}}", secret_path(each.name))
        tests.append(Test(f"{each.name}: its secret is on the server", script, prints="^1$", remedy="Run 02_hub_lti"))
    if "backup_password" in site.rotate:
        script = quote(f"grep -qF -e {{}} {BACKUP_SETTINGS} && {BACKUP} look", f'"repository": "{site.backup_to}"')
        remedy = "Run 10_backup first: the password is replaced where the repository can be used"
        tests.append(Test("the server's password opens the repository of backup_to", script, "^ready$", remedy=remedy))
    return tests


def lti_secrets(site: Site) -> list[Rotated]:
    """A new secret of each consumer that `rotate` names; the one before stays good for `rotate_days`."""
    return [_lti_secret(site, each) for each in consumers(site)]


def _lti_secret(site: Site, consumer: ConsumerParams) -> Rotated:
    command, path = f"{program('rotate')} lti", secret_path(consumer.name)
    return Rotated(f"the secret of consumer {consumer.name}", command, path, site.rotate_days)


def hub_secrets(site: Site) -> list[Resource]:
    """A new token of the proxy, a new secret of logins, and hub and proxy running with them."""
    found: list[Resource] = []
    if "proxy_token" in site.rotate:
        found.append(RotatedSecret(PROXY_ENV, "CONFIGPROXY_AUTH_TOKEN", config.PROXY_NOTICE))
    if "cookie_secret" in site.rotate:
        found.append(RotatedSecret(COOKIE_SECRET, "", _LOGIN_NOTICE))
    return [*found, *hub_setup.running()] if found else []


def tool_key(site: Site) -> list[Resource]:
    """A new key of the tool; the one before stays published for `rotate_days`."""
    if "tool_key" not in site.rotate:
        return []
    # With the hub's Python, and by its account, whose file it is.
    command = quote(f"cd / && runuser -u {{}} -- {program('tool_key', f'{VENV}/bin/python')}", site.hub_user)
    return [Rotated("the tool's key (LTI 1.3)", command, TOOL_KEY, site.rotate_days)]


def backup_password(site: Site) -> list[Resource]:
    """Another password of the repository. Raises BadInput where it cannot be had from where the parameters say it is."""
    return [BackupPassword(site.backup_password())] if "backup_password" in site.rotate else []


def where_they_go(server: Server) -> Markdown:
    """Where each new secret is read, until when the one before is good, and whether the LMS used that in the last day."""
    asked = consumers(server.site)
    if not asked:
        return Markdown("*Nothing to do here: `rotate` names no `lti_secret`.*")
    looks = server.probe(*(_lti_secret(server.site, each).probe() for each in asked))
    used = server.probe(
        *(
            quote("journalctl -u jupyterhub --since=-1d -o short-iso --no-pager | grep -F {} | tail -n 1", BY_FORMER % each.name)
            for each in asked
        )
    )  # fmt: skip
    rows = [
        (
            f"`{each.name}`",
            each.preset.title,
            f"`sudo grep {CLIENT_SECRET} {secret_path(each.name)}`",
            good_until(look.stdout) or "no more",
            line.stdout.split()[0] if line.stdout.strip() else "none",
        )
        for each, look, line in zip(asked, looks, used, strict=True)
    ]
    heads = (
        "consumer",
        "LMS",
        "the new secret, on the server",
        "the one before is good until",
        "last launch with that, of 24 hours",
    )
    return Markdown(table(heads, rows))


def tests(site: Site) -> list[Test]:
    """Tests after it: the hub answers, and its configuration loads."""
    return [config.health_test(), config.settings_test(site)]
