"""What another LMS than Canvas must be told of the hub, in that LMS's own words, and where one clicks there.

The words are those of the LMSs' own forms: moodle/moodle (lang/en/lti.php), openedx/xblock-lti-consumer (lti_xblock.py),
sakaiproject/sakai (lti_tool_*.vm), docs.blackboard.com, documentation.brightspace.com. No secrets: those stay on the server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from IPython.display import Markdown

from hubrun import server_paths
from hubrun.params import Site
from hubrun.params.consumers import ConsumerParams
from hubrun.sections.canvas.tables import table
from hubrun_hub.lti import registration
from hubrun_hub.lti.consumers import CLIENT_KEY, CLIENT_SECRET

# What goes into a field: a name of `_values`, or the text itself.
Fields = dict[str, str]


@dataclass(frozen=True)
class Words:
    """Where one clicks in an LMS, and what its forms ask for, in each version of LTI.

    `paste`: where the link is pasted with which it registers the hub. `tells`: where it shows what the parameters need.
    `people`: what it must send for the hub to name people. `tab`: how the hub opens in a tab of its own.
    """

    form11: Fields
    form13: Fields
    where11: str
    where13: str
    paste: str
    tells: str
    people: str
    tab: str


WORDS: dict[str, Words] = {
    "moodle": Words(
        {"Tool name": "name", "Tool URL": "launch", "LTI version": "LTI 1.0/1.1", "Consumer key": "key", "Shared secret": "secret"},
        {
            "Tool name": "name", "Tool URL": "launch", "LTI version": "LTI 1.3", "Public key type": "Keyset URL",
            "Public keyset": "jwks", "Initiate login URL": "login", "Redirection URI(s)": "callback",
        },
        "Site administration → Plugins → Activity modules → External tool → Manage tools → configure a tool manually",
        "Site administration → Plugins → Activity modules → External tool → Manage tools → configure a tool manually",
        "Site administration → Plugins → Activity modules → External tool → Manage tools: paste it into **Tool URL…**, "
        "**Add LTI Advantage**; then **Activate** the tool in the list",
        "Manage tools → the tool's **View configuration details**: its Client ID goes into `client_ids`",
        "Privacy → **Share launcher's name with tool**: *Always*. Moodle sends the username with it, and nothing else that "
        "names a person and that they cannot change. The ID number people may change themselves, unless your Moodle locks it",
        "**Default launch container**: *New window* (Moodle's own default, and what a registration sets, is a frame)",
    ),
    "openedx": Words(
        {"LTI Passport ID": "`jupyterhub`, with `jupyterhub:KEY:SECRET` in Advanced Settings → LTI Passports; key and secret as the table above says", "LTI URL": "launch"},
        {
            "LTI Version": "LTI 1.3", "Launch URL": "launch", "Tool Initiate Login URL (OIDC)": "login",
            "Registered Redirect URIs": "list", "Tool Public Key Mode": "Keyset URL", "Tool Keyset URL": "jwks",
        },
        "Studio → Settings → Advanced Settings → Advanced Module List: add `\"lti_consumer\"`; then a unit → Advanced → LTI Consumer",
        "Studio → Settings → Advanced Settings → Advanced Module List: add `\"lti_consumer\"`; then a unit → Advanced → LTI Consumer",
        "",
        "Studio shows below the component: its Client ID goes into `client_ids`, its Keyset URL into `jwks_url`. Each component "
        "has its own, and is a consumer of its own here, unless the site has reusable configurations (openedx-ltistore)",
        "**Share Username**: *True* (Open edX must allow it for the course: CourseAllowPIISharingInLTIFlag). Without it, "
        "people of LTI 1.1 are known by an id that Open edX makes of the person and the course: **each course is then a home "
        "of its own**, with empty files",
        "**Open tool in**: *New Window*",
    ),
    "sakai": Words(
        {"Tool Title": "name", "Launch URL": "launch", "Launch Key": "key", "Launch Secret": "secret"},
        {
            "Tool Title": "name", "Launch URL": "launch", "Tool Supports LTI 1.3": "on", "LTI 1.3 Tool Keyset URL": "jwks",
            "LTI 1.3 Tool OpenID Connect/Initialization Endpoint": "login", "LTI 1.3 Tool Redirect Endpoint(s)": "callback",
        },
        "Administration Workspace → External Tools → Install LTI 1.x Tool",
        "Administration Workspace → External Tools → Install LTI 1.x Tool",
        "Administration Workspace → External Tools → LTI Advantage Auto Provision: give it a title, **Auto-Provision**, **Use LTI Advantage Auto "
        "Configuration**, and paste it there",
        "after saving, Sakai shows the Client ID: it goes into `client_ids`",
        "**Send Email Addresses to External Tool**: on. Sakai sends the login (eid) with the address",
        "**Open in Popup**: *Always*",
    ),
    "blackboard": Words(
        {"Provider Domain": "domain", "Tool Provider Key": "key", "Tool Provider Secret": "secret", "Tool Provider URL": "launch"},
        {
            "Domain(s)": "domain", "Login Initiation URL": "login", "Tool Redirect URL(s)": "callback", "Tool JWKS URL": "jwks",
            "Signing Algorithm": "RS256", "Target Link URI (of a placement)": "launch",
        },
        "Administrator Panel → Integrations → LTI Tool Providers → Register LTI 1.1 Provider; then Manage Placements",
        "developer.blackboard.com → My Apps → **+**: **My Integration supports LTI 1.3**; then in Learn: Administrator Panel → "
        "Integrations → LTI Tool Providers → Register LTI 1.3/Advantage Tool, with the Application ID as Client ID",
        "",
        "the Application ID goes into `client_ids`; LTI Tool Providers → **Edit** the tool shows the Deployment ID, which goes "
        "into `deployment_ids`. Without it the hub takes nobody: the issuer and the client id are those of every Blackboard",
        "**User Fields to Send**: *Role in Course*, *Name*",
        "the placement's **Launch in New Window**: on",
    ),
    "brightspace": Words(
        {"Launch Point": "launch", "Key": "key", "Secret": "secret"},
        {
            "Name": "name", "Domain": "url", "Redirect URLs": "callback", "OpenID Connect Login URL": "login",
            "Target Link URI": "launch", "Keyset URL": "jwks",
        },
        "Admin Tools → External Learning Tools → Manage Tool Providers → New Tool Provider; then New Link",
        "Admin Tools → Manage Extensibility → LTI Advantage → Register Tool → **Standard**",
        "Admin Tools → Manage Extensibility → LTI Advantage → Register Tool → **Dynamic**: paste it into *Tool initiation "
        "registration endpoint*; then enable the tool, **View Deployments** → **New Deployment**, and a link of it",
        "the registration shows the Client Id: it goes into `client_ids`",
        "In the deployment, **Security Settings**: *Org Unit Information*, *User Information* with the user name, *Link Information* "
        "(LTI 1.1: *Send User Name*)",
        "**Open as External Resource**: on",
    ),
}  # fmt: skip


def show(site: Site) -> Markdown:
    """For each consumer that is another LMS than Canvas: where one clicks there, and what goes in."""
    others = [each for each in site.all_consumers if each.lms != "canvas"]
    if not others:
        return Markdown(
            "*Nothing to do here: this site has no other LMS than Canvas (`lti_lms`, or `lms` of a consumer).*"
        )
    return Markdown("\n\n".join(_consumer(site, each) for each in others))


def _consumer(site: Site, consumer: ConsumerParams) -> str:
    words, value = WORDS[consumer.lms], _values(site, consumer)
    parts = [f"### {consumer.preset.title}: consumer `{consumer.name}`"]
    if consumer.has("1.1"):
        parts += [f"**LTI 1.1.** {words.where11}", _form(words.form11, value)]
    if consumer.has("1.3"):
        if consumer.awaits_registration:
            parts += [f"**LTI 1.3, by the link above.** {words.paste}."]
        else:
            known = ", ".join(f"`{each}`" for each in consumer.client_ids) or "none yet"
            parts += [f"**LTI 1.3.** {words.where13}", _form(words.form13, value)]
            parts += [f"**What this site needs of it:** {words.tells}. The hub knows: {known}."]
    field = site.username_key(consumer)
    parts += [
        f"- [ ] **People** are named by `{field}`. {_own_field(field) or words.people}.",
        f"- [ ] **In a tab of its own:** {words.tab}.",
    ]
    parts += [f"More: docs/how-to/lms/{consumer.lms}.md."]
    text = "\n\n".join(parts)
    # The first consumer's parameters are the flat ones.
    return re.sub("`(client_ids|deployment_ids|jwks_url)`", r"`lti_\1`", text) if consumer.name == "default" else text


def _own_field(username_key: str) -> str:
    name = registration.own_field(username_key)
    # LTI Implementation Guide 1.1.1, appendix C: the variables. An LMS that does not know one sends its name.
    return name and (
        f"Give the tool the custom parameter `{name}` with the variable that says it, such as `{name}=$User.username`; without it "
        "they are named by the next field that the LMS sends (see 02)"
    )


def _values(site: Site, consumer: ConsumerParams) -> Fields:
    hub, file = f"{site.url}/hub/", server_paths.secret_path(consumer.name)
    return {
        "name": site.canvas_tool_name,
        "domain": site.domain,
        "url": site.url,
        "list": f'["{hub}{registration.CALLBACK}"]',
        "launch": site.launch_url,
        "key": f"on the server: sudo grep {CLIENT_KEY} {file}",
        "secret": f"on the server: sudo grep {CLIENT_SECRET} {file}",
        "login": hub + registration.LOGIN,
        "callback": hub + registration.CALLBACK,
        "jwks": hub + registration.JWKS,
    }


def _form(fields: Fields, value: Fields) -> str:
    rows = [(name, value.get(text, text)) for name, text in fields.items()]
    return table(("field", "what goes in"), [(name, text if "`" in text else f"`{text}`") for name, text in rows])
