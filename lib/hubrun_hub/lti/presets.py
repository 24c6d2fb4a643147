"""What each LMS does in its own way: what it is called, where it says who somebody is, and at which addresses it is.

What is not said of an LMS is as LTI defines it. The sources are those of the LMSs: instructure/canvas-lms,
moodle/moodle (mod/lti/locallib.php, openid-configuration.php), openedx/xblock-lti-consumer, sakaiproject/sakai
(lti/lti-common, SakaiLTIUtil.java; plus/docs), docs.blackboard.com ("LTI Registration and Deployment"), and
documentation.brightspace.com ("LTI 1.3 registration").

Only the standard library: the runbooks import this too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
_D2L, _SAKAI = "http://www.brightspace.com", "https://www.sakailms.org/spec/lti/claim/extension"

# Where LTI 1.3 has what LTI 1.1 calls so, in every LMS: the claim, and the member of it. The names that begin with
# ext_ are an LMS's own, and tell which one it is.
_PATHS: dict[str, tuple[str, ...]] = {
    "lis_person_sourcedid": (f"{_CLAIM}lis", "person_sourcedid"),
    "lis_person_contact_email_primary": ("email",),
    "lis_person_name_full": ("name",),
    "user_id": ("sub",),
    "ext_d2l_username": (_D2L, "username"),
    "ext_d2l_orgdefinedid": (_D2L, "org_defined_id"),
    "ext_sakai_eid": (_SAKAI, "sakai_eid"),
}


@dataclass(frozen=True)
class Urls:
    """What a hub must know of an LMS for LTI 1.3. "" for what cannot be known from the LMS's own address."""

    issuer: str
    authorize_url: str
    jwks_url: str


@dataclass(frozen=True)
class Preset:
    """One LMS.

    `title` is what people call it; `stable_id` is the field of LTI 1.1 that is the same person for life. In LTI 1.3 the
    stable id is always `sub` (IMS Security Framework 1.0, 5.1.2: never reassigned).

    `username_key` is the field that is best to name people by: one that the LMS vouches for. `vouched` are all such
    fields: no member of a course can write into them who somebody else is. `vouched_11`: further ones of LTI 1.1 alone.

    `issuer`, `authorize`, `jwks` and `token` are the LMS's addresses; in them {host} is its own, {client_id} the tool's id
    there. `audience` is what a request for a token is for, "" where that is the address `token` itself.

    `claims` are those that `username_key` comes with, which a tool asks for when it registers.

    `shared`: the issuer and the client id are the same for every institution, and only the deployment id tells whose
    they are. `registers`: an administrator can paste one link (LTI Dynamic Registration).
    """

    name: str
    title: str
    stable_id: str = "user_id"
    username_key: str = "lis_person_sourcedid"
    vouched: tuple[str, ...] = ("lis_person_sourcedid",)
    vouched_11: tuple[str, ...] = ()
    issuer: str = "{host}"
    authorize: str = ""
    jwks: str = ""
    token: str = ""
    audience: str = ""
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    claims: tuple[str, ...] = ()
    shared: bool = False
    registers: bool = False

    def urls(self, host: str, client_id: str = "") -> Urls:
        """The addresses of the LMS at `host` (https://moodle.example.edu), for the tool's `client_id` there."""
        values = {"host": host.rstrip("/"), "client_id": client_id}
        issuer, authorize, jwks = (
            text.format_map(values) if all(values[name] for name in values if f"{{{name}}}" in text) else ""
            for text in (self.issuer, self.authorize, self.jwks)
        )
        return Urls(issuer, authorize, jwks)

    def token_url(self, authorize_url: str) -> str:
        """Where the LMS whose people are asked for at `authorize_url` gives out tokens; "" where that does not say so."""
        if "{host}" not in self.token:
            return self.token
        end = self.authorize.removeprefix("{host}")
        return self.token.format(host=authorize_url.removesuffix(end)) if authorize_url.endswith(end) else ""


_NAMES = ("name", "given_name", "family_name")
_LIST = (
    Preset(
        "canvas", "Canvas",
        # In LTI 1.1 it writes its own custom fields after those of the link, in LTI 1.3 before (launch11, launch13).
        vouched_11=("custom_canvas_user_login_id", "custom_canvas_user_id", "custom_canvas_user_sis_id"),
        # doc/api/lti_dev_key_config.md. A self-hosted Canvas names itself; Instructure's own are in CANVASES.
        authorize="{host}/api/lti/authorize_redirect", jwks="{host}/api/lti/security/jwks", registers=True,
        # doc/api/oauth_endpoints.md, "POST login/oauth2/token", client_credentials.
        token="{host}/login/oauth2/token",
    ),
    Preset(
        "moodle", "Moodle",
        # lti_build_request. The sourcedid is the ID number of a person's profile, which is mostly empty, and which
        # people may write themselves where no authentication plugin locks it (user/editlib.php). The username comes
        # with the name: "Share launcher's name with tool".
        username_key="ext_user_username", vouched=("ext_user_username",), claims=_NAMES,
        authorize="{host}/mod/lti/auth.php", jwks="{host}/mod/lti/certs.php", registers=True,
        token="{host}/mod/lti/token.php",
    ),
    Preset(
        "openedx", "Open edX",
        # lti_xblock.py, get_lti_1p1_user_id: its user_id of LTI 1.1 is made of the person and the course, unless the flag
        # enable_external_user_id_1p1_launches is on. The username, where it is shared, is the sourcedid of LTI 1.1
        # (person_sourcedid) and preferred_username in LTI 1.3, which has no lis claim.
        stable_id="lis_person_sourcedid", paths={"lis_person_sourcedid": ("preferred_username",)},
        # plugin/urls.py. Each component, or each reusable configuration, has keys of its own: Studio shows their address.
        authorize="{host}/api/lti_consumer/v1/launch/",
    ),
    Preset(
        "sakai", "Sakai",
        # SakaiLTIUtil.addUserInfo: the sourcedid is the eid, the login; it comes with the e-mail address ("Send email").
        vouched=("lis_person_sourcedid", "ext_sakai_eid"), claims=("email",),
        authorize="{host}/imsoidc/lti13/oidc_auth", jwks="{host}/imsblis/lti13/keyset", registers=True,
    ),
    Preset(
        "blackboard", "Blackboard",
        issuer="https://blackboard.com",
        authorize="https://developer.blackboard.com/api/v1/gateway/oidcauth",
        jwks="https://developer.blackboard.com/api/v1/management/applications/{client_id}/jwks.json",
        token="https://developer.blackboard.com/api/v1/gateway/oauth2/jwttoken",
        shared=True,
    ),
    Preset(
        "brightspace", "Brightspace",
        # Its own claim, with the setting "User Information" of the deployment: the username, and the id that the
        # institution gave (Org Defined ID).
        username_key="ext_d2l_username", vouched=("ext_d2l_username", "ext_d2l_orgdefinedid", "lis_person_sourcedid"),
        claims=_NAMES,
        authorize="{host}/d2l/lti/authenticate", jwks="{host}/d2l/.well-known/jwks", registers=True,
        # "LTI Advantage": one server of tokens for all Brightspaces, and an audience of its own.
        token="https://auth.brightspace.com/core/connect/token", audience="https://api.brightspace.com/auth/token",
    ),
)  # fmt: skip
PRESETS = {preset.name: preset for preset in _LIST}

# Instructure's own Canvases: Canvas documentation, "LTI Launch Overview" (issuers) and "Configuring LTI Advantage Tools".
CANVASES = {
    name: Urls(f"https://canvas{dot}.instructure.com", *(f"https://sso{dot}.canvaslms.com/api/lti/{end}" for end in (
        "authorize_redirect", "security/jwks"
    )))
    for name, dot in (("production", ""), ("beta", ".beta"), ("test", ".test"))
}  # fmt: skip


def claim_path(lms: str, key: str) -> tuple[str, ...]:
    """Where a token of `lms` has what LTI 1.1 calls `key`: the claim, and the member of it.

    A field that begins with ext_ is in the claim `ext`, as Moodle has it (mod/lti/locallib.php, lti_sign_jwt).
    """
    known = PRESETS[lms].paths.get(key) or _PATHS.get(key)
    if known:
        return known
    for prefix, claim in (("custom_", "custom"), ("ext_", "ext")):
        if key.startswith(prefix):
            return (_CLAIM + claim, key.removeprefix(prefix))
    return (key,)


def is_vouched(lms: str, key: str, version: str) -> bool:
    """Whether an LMS vouches for what its launch in this version of LTI ("1.1", "1.3") says in the field `key`."""
    preset = PRESETS[lms]
    return key == "user_id" or key in preset.vouched or (version == "1.1" and key in preset.vouched_11)


def configured_at(issuer: str) -> frozenset[str]:
    """The hosts at which the LMS with this issuer may say how a tool registers (LTI Dynamic Registration 1.0, 3.5.1)."""
    hosts = {urlsplit(issuer).netloc}
    hosts |= {urlsplit(each.authorize_url).netloc for each in CANVASES.values() if each.issuer == issuer}
    return frozenset(hosts)
