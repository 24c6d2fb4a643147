"""05_canvas against a server and a Canvas: what must be there before, and the tool set up by Canvas's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.display import Markdown

from hubrun import server_paths
from hubrun.canvas_api import Canvas, Context, ExternalTool, ModuleItem, Navigation, ToolDeployment
from hubrun.desired.checks import Check, Test
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CheckFailed
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.sections.canvas import canvas_forms
from hubrun.shell import quote
from hubrun_hub.lti import registration
from hubrun_hub.lti.consumers import CLIENT_KEY, CLIENT_SECRET

# Stands for the key in a plan that is made before there is one.
KEY_TO_COME = "(made by 02_hub_lti)"


# -- what must be there --------------------------------------------------------------------------------------------


def tests(site: Site) -> list[Test]:
    """That the server has the key and secret of each consumer with LTI 1.1, and the client ids of each with LTI 1.3."""
    found = []
    for consumer in site.all_consumers:
        path = server_paths.secret_path(consumer.name)
        if consumer.has("1.1"):
            script = quote(
                'file={}; for name in {}; do grep -qE "^$name=.{32,}" "$file" || { echo "$file has no $name"; exit 1; }; done',
                path,
                [CLIENT_KEY, CLIENT_SECRET],
            )
            found.append(Test(f"{consumer.name}: key and secret are on the server", script, remedy="Run 02_hub_lti"))
        if consumer.has("1.3") and consumer.client_ids:
            script = quote(
                'for id in {}; do grep -qF -e "\\"$id\\"" {} || { echo "$id is not there"; exit 1; }; done',
                consumer.client_ids,
                f"{server_paths.CONSUMERS}/{consumer.name}.json",
            )
            found.append(Test(f"{consumer.name}: the hub knows its client ids", script, remedy="Run 02_hub_lti"))
        if consumer.awaits_registration:
            script = quote("grep -qF -e '\"registration\": true' {}", f"{server_paths.CONSUMERS}/{consumer.name}.json")
            found.append(Test(f"{consumer.name}: the hub may be registered", script, remedy="Run 02_hub_lti"))
    return found


def outside(server: Server) -> list[Check]:
    """With a Canvas of LTI 1.3, what it fetches: the hub serves its public key, and the developer key of these parameters."""
    site = server.site
    if not canvas_forms.has(site, "1.3") or server.pending:
        return []
    name, expected = "the hub serves its developer key", "the one that is shown below"
    try:
        there = _get(site, registration.CONFIG) == canvas_forms.served_key(site, public_jwk(server))
    except CheckFailed as failure:
        return [Check(name, False, expected, failure.what, failure.remedy)]
    came = expected if there else "one with other parameters"
    return [Check(name, there, expected, came, "" if there else "Run 02_hub_lti, so that the hub knows them too")]


def public_jwk(server: Server) -> dict[str, Any] | None:
    """The hub's public key, from where Canvas fetches it; None where it is not needed, or not there in a plan."""
    if not canvas_forms.has(server.site, "1.3") or server.pending:
        return None
    keys = _get(server.site, registration.JWKS).get("keys") or [None]
    found: dict[str, Any] | None = keys[0]
    return found


def _get(site: Site, path: str) -> dict[str, Any]:
    """The JSON at a path of the hub, from outside. Raises CheckFailed."""
    with Browser(Route.to(site)) as browser:
        answer = browser.get(f"/hub/{path}")
    try:
        data = answer.json() if answer.is_success else None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise CheckFailed(
            f"GET /hub/{path} was answered with {answer.status_code}, which is not JSON", site.url, "Run 02"
        )
    return data


# -- by Canvas's API -----------------------------------------------------------------------------------------------


def by_api(server: Server) -> Markdown | None:
    """Bring Canvas to what the parameters say; without `canvas_url` nothing is done. What is left for people to do.

    What it finds and does counts among the server's results, and in check mode among what would change.
    Raises CanvasRefused, CanvasFailed, BadInput.
    """
    site = server.site
    canvas = canvas_of(server)
    if not canvas_forms.canvases(site):
        return Markdown("*Nothing to do here: no LMS of this site is a Canvas.*")
    if canvas is None:
        return Markdown("*By hand: `canvas_url` is not set. Go on with the list below.*")
    wanted = [*tools(server), *items(server)]
    if wanted:
        canvas.ensure(*wanted)
    if site.all_consumers[0].awaits_registration:
        return Markdown(
            "*LTI 1.3: whoever registers the hub with the link above adds the tool in Canvas, too; this step adds one only "
            "by `lti_client_ids`.*"
        )
    if site.all_consumers[0].has("1.3") and not site.lti_client_ids:
        return Markdown("*LTI 1.3 waits for `lti_client_ids`: make the developer key above, then run 02 and 05 again.*")
    return None


def canvas_of(server: Server) -> Canvas | None:
    """The site's Canvas, whose results count among the server's; None without `canvas_url`. Raises BadInput."""
    site = server.site
    token = site.canvas_token() if site.canvas_url else None
    if token is None:
        return None
    return Canvas(site.canvas_url, token, approval=server.approval, ca_file=site.canvas_ca_file, results=server.results)


def tools(server: Server) -> list[ExternalTool | ToolDeployment]:
    """The tools of the default consumer: one by key and secret (LTI 1.1), one for each client id (LTI 1.3)."""
    site = server.site
    found: list[ExternalTool | ToolDeployment] = []
    context = Context("account", site.canvas_account) if site.canvas_account else Context("course", site.canvas_course)
    if site.all_consumers[0].has("1.1"):
        level, custom = canvas_forms.privacy(site)
        found.append(
            ExternalTool(
                context,
                site.canvas_tool_name,
                site.launch_url,
                consumer_key(server),
                secret_of(server),
                privacy_level=level,
                custom_fields=custom,
                navigation=navigation(site),
                send_secret=site.canvas_renew_key,
            )
        )
    if site.all_consumers[0].has("1.3"):
        found += [ToolDeployment(context, client_id) for client_id in site.lti_client_ids]
    return found


def navigation(site: Site) -> Navigation:
    """Where the tool is in the navigation of courses, as `canvas_navigation` says."""
    if site.canvas_navigation == "off":
        return Navigation(enabled=False)
    # A tool of an account would else stand in all its courses at once.
    return Navigation(visibility=site.canvas_navigation, default="disabled" if site.canvas_account else "enabled")


def items(server: Server) -> list[ModuleItem]:
    """The item in the course's module, if one is wanted and there is a tool for it.

    At the launch URL with every version of LTI: Canvas finds the tool of LTI 1.1 by it, and without that one the tool
    of LTI 1.3 by its domain (context_external_tool.rb, find_external_tool). So it outlives a change of version.
    """
    site, of_site = server.site, tools(server)
    if not site.canvas_module or not of_site:
        return []
    return [ModuleItem(site.canvas_course, site.canvas_module, site.canvas_item_title, site.launch_url, of_site[0])]


def consumer_key(server: Server) -> str:
    """The default consumer's key, which is not secret. Raises BadInput where there is none, except in a plan."""
    found = server.probe(
        quote(f"sed -n 's/^{CLIENT_KEY}=//p' {{}}", server_paths.secret_path(server_paths.DEFAULT_CONSUMER))
    )
    key = found[0].stdout.strip()
    if key or not server.pending:
        return _there(key, CLIENT_KEY)
    return KEY_TO_COME


def secret_of(server: Server) -> Callable[[], Secret]:
    """Reads the default consumer's secret from the server, when it is called."""

    def read() -> Secret:
        path = server_paths.secret_path(server_paths.DEFAULT_CONSUMER)
        output = server.run(f"sed -n 's/^{CLIENT_SECRET}=//p' {{}}", path)
        return Secret(_there(output.stdout.strip(), CLIENT_SECRET), CLIENT_SECRET)

    return read


def _there(value: str, name: str) -> str:
    if not value:
        raise BadInput(f"there is no {name}", server_paths.secret_path(server_paths.DEFAULT_CONSUMER), "Run 02_hub_lti")
    return value
