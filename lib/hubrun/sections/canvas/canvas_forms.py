"""What Canvas must be told of the hub, as people enter it there: tables and forms to copy from, and what to click.

For LTI 1.1 the fields of a form, also as XML; for LTI 1.3 a developer key as JSON. No secrets: those stay on the server,
and it is said how to read them there. Setting the tool up by Canvas's API is in canvas_setup.
"""

from __future__ import annotations

import json
from typing import Any

from IPython.display import Markdown
from jinja2 import Environment, PackageLoader, StrictUndefined

from hubrun import server_paths
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.params.consumers import ConsumerParams
from hubrun.sections.canvas.git_links import GitLink
from hubrun.sections.canvas.tables import table
from hubrun_hub.lti import registration
from hubrun_hub.lti.consumers import CLIENT_KEY, CLIENT_SECRET

_TEMPLATES = Environment(
    loader=PackageLoader("hubrun.sections.canvas"), autoescape=True, trim_blocks=True, undefined=StrictUndefined
)
# How Canvas's form names the levels.
_LEVELS = {
    "anonymous": "Anonymous",
    "name_only": "Name Only",
    "email_only": "E-Mail Only",
    registration.PUBLIC: "Public",
}


def has(site: Site, version: str) -> bool:
    """Whether any Canvas of the site uses this version of LTI ("1.1", "1.3")."""
    return any(consumer.lti_version in (version, "both") for consumer in canvases(site))


def _username_key(site: Site) -> str:
    """The field by which people of Canvas are named: of several, of the first."""
    return next((site.username_key(each) for each in canvases(site)), site.lti_username_key)


def canvases(site: Site) -> list[ConsumerParams]:
    """The consumers that are a Canvas."""
    return [consumer for consumer in site.all_consumers if consumer.lms == "canvas"]


# -- who may launch ------------------------------------------------------------------------------------------------


def who_may_launch(site: Site) -> Markdown:
    """The consumers: how their people are named, and where the key and secret are read, or which client ids they have."""
    rows = []
    for consumer in site.all_consumers:
        prefix = f"{consumer.prefix}__" if consumer.prefix else ""
        secret = f"`sudo grep LTI_CLIENT_ {server_paths.secret_path(consumer.name)}`" if consumer.has("1.1") else "–"
        ids = (
            ", ".join(f"`{each}`" for each in consumer.client_ids)
            or ("by its link" if consumer.awaits_registration else "none yet")
            if consumer.has("1.3")
            else "–"
        )
        rows.append((f"`{consumer.name}`", consumer.preset.title, consumer.lti_version, f"`{prefix}ada`", secret, ids))
    heads = ("consumer", "LMS", "LTI", "Ada's name here", "1.1: key and secret, on the server", "1.3: client ids")
    return Markdown(table(heads, rows))


# -- LTI 1.1 -------------------------------------------------------------------------------------------------------


def privacy(site: Site) -> tuple[str, dict[str, str]]:
    """LTI 1.1: the privacy level with which Canvas sends what names people, and the custom fields that it takes."""
    needed = registration.NEEDED.get(_username_key(site))
    return needed.lti11 if needed else (registration.PUBLIC, {})


def values(site: Site) -> dict[str, str]:
    """The fields of Canvas's form "Add App" (configuration type: Manual Entry), with what goes in."""
    level, custom = privacy(site)
    of_1_1 = [consumer.name for consumer in canvases(site) if consumer.has("1.1")]
    secrets = {}
    for name in of_1_1:
        which = f" ({name})" if len(of_1_1) > 1 else ""
        secrets[f"Consumer Key{which}"] = f"on the server: sudo grep {CLIENT_KEY} {server_paths.secret_path(name)}"
        secrets[f"Shared Secret{which}"] = f"on the server: sudo grep {CLIENT_SECRET} {server_paths.secret_path(name)}"
    return {
        "Configuration Type": "Manual Entry",
        "Name": site.canvas_tool_name,
        **secrets,
        "Launch URL": site.launch_url,
        "Domain": site.domain,
        "Privacy Level": _LEVELS[level],
        **({"Custom Fields": " ".join(f"{name}={value}" for name, value in custom.items())} if custom else {}),
    }


def form(site: Site) -> Markdown:
    """The values as a table, and the same as XML."""
    if not has(site, "1.1"):
        return Markdown("*Nothing to do here: no Canvas of this site uses LTI 1.1 (`lti_version`).*")
    fields = table(("field in Canvas", "what goes in"), [(name, f"`{value}`") for name, value in values(site).items()])
    return Markdown(f"{fields}{_own_field(site)}\n\nThe same for **Paste XML**:\n\n```xml\n{xml(site)}```")


def _own_field(site: Site) -> str:
    """What is to be added for people to be named by a custom field that is the institution's own."""
    field = registration.own_field(_username_key(site))
    if not field:
        return ""
    # instructure/canvas-lms, doc/api/tools_variable_substitutions.md
    return (
        f"\n\n**People are named by `custom_{field}`:** add to the tool's custom fields `{field}=` and the variable that says "
        f"it, such as `{field}=$Canvas.user.loginId`. Without it they are named by the next field that Canvas sends (see 02)."
    )


def xml(site: Site) -> str:
    """The tool as Canvas's "Paste XML" takes it. Key and secret are typed into the form beside it."""
    level, custom = privacy(site)
    return _TEMPLATES.get_template("tool.xml.j2").render(site=site, level=level, custom=custom) + "\n"


# -- LTI 1.3 -------------------------------------------------------------------------------------------------------


def served_key(site: Site, public_jwk: dict[str, Any] | None) -> dict[str, Any]:
    """The developer key as the hub itself serves it. Raises BadInput where it can have none."""
    try:
        return registration.developer_key(
            f"{site.url}/hub/",
            _username_key(site),
            title=site.canvas_tool_name,
            public_jwk=public_jwk,
            services=site.lti_services,
        )
    except ValueError as error:
        raise BadInput(str(error), "lti_username_key", "LTI 1.3 needs one of those") from None


def developer_key(site: Site, public_jwk: dict[str, Any] | None) -> dict[str, Any]:
    """The developer key to paste: the hub's own, with the course navigation that the parameters ask for."""
    key = served_key(site, public_jwk)
    settings = key["extensions"][0]["settings"]
    kept = []
    for placement in settings["placements"]:
        if placement["placement"] == "course_navigation":
            if site.canvas_navigation == "off":
                continue
            placement |= {"visibility": site.canvas_navigation}
            if site.canvas_account:
                # Else it would stand in all courses of the account at once.
                placement |= {"default": "disabled"}
        kept.append(placement)
    settings["placements"] = kept
    return key


def key_form(site: Site, public_jwk: dict[str, Any] | None) -> Markdown:
    """The developer key as JSON to paste, with its addresses. `public_jwk` is the hub's; None where it is not there yet."""
    if not has(site, "1.3"):
        return Markdown("*Nothing to do here: no Canvas of this site uses LTI 1.3 (`lti_version`).*")
    if all(each.awaits_registration for each in canvases(site) if each.has("1.3")):
        return Markdown(
            "*Nothing to do here: Canvas makes the developer key when it registers the hub, by the link above.*"
        )
    key = developer_key(site, public_jwk)
    lacks = "; `canvas_navigation` is not in it" if site.canvas_navigation != "members" or site.canvas_account else ""
    rows = [
        ("Redirect URIs", f"`{key['redirect_uris'][0]}`"),
        ("Method", "Paste JSON, with the text below"),
        ("or: Enter URL", f"`{site.url}/hub/{registration.CONFIG}`, where Canvas can reach the hub{lacks}"),
        ("client ids that the hub knows", _known(site)),
    ]
    missing = (
        "" if public_jwk else "\n\n*This plan did not ask the hub: its public key (`public_jwk`) is missing below.*"
    )
    fields = table(("field in Canvas", "what goes in"), rows)
    return Markdown(
        f"{fields}{_own_field(site)}{missing}\n\n```json\n{json.dumps(key, indent=2, ensure_ascii=False)}\n```"
    )


def _known(site: Site) -> str:
    of_1_3 = [consumer for consumer in canvases(site) if consumer.has("1.3")]
    known = [f"`{each}` ({consumer.name})" for consumer in of_1_3 for each in consumer.client_ids]
    known += [f"by its link ({consumer.name})" for consumer in of_1_3 if consumer.awaits_registration]
    where = "`client_ids` of its entry in `consumers`" if site.lti_version == "1.1" else "`lti_client_ids`"
    return ", ".join(known) or f"none yet: they go into {where}"


# -- links into git repositories -----------------------------------------------------------------------------------


def git_links(site: Site) -> Markdown:
    """For each of `git_links`, what is entered in the LMS so that a launch pulls the repository and opens the file."""
    if not site.git_links:
        return Markdown(
            "*None: `git_links` is empty. An example:* `git_links: [{repo: https://…, path: week1/task.ipynb}]`"
        )
    parts = []
    for each in site.git_links:
        link = GitLink(site.url, each.repo, each.branch, each.path, each.folder)
        # Spaces that do not break: beside a long address the first column would be a word wide.
        rows = [
            *([("URL\u00a0in\u00a0Canvas", f"`{link.launch_url}`")] if canvases(site) else []),
            ("custom\u00a0field\u00a0`next`", f"`{link.next}`"),
            ("at\u00a0the\u00a0hub", f"`{link.url}`"),
        ]
        branch = f", branch `{each.branch}`" if each.branch else ""
        parts.append(f"**`{each.path or '/'}`** of {each.repo}{branch}\n\n{table(('where', 'what'), rows)}")
    return Markdown("\n\n".join(parts))
