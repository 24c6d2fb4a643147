"""LTI 1.3: an id_token, signed by the LMS with a key that it publishes (IMS Security Framework 1.0, section 5).

PyJWT checks signature, issuer and audience. The rest is ours, as ltiauthenticator 1.6.3 refuses everybody whose LMS has a
clock that is a second ahead, and each context whose label is empty: RS256 and nothing else, keys that are kept (`jwks`),
`azp` whenever it is there, deployments, a tolerance for clocks, resource links only, and nonces that count once for
whoever sends them.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult

import jwt

from .consumers import Consumer, Platform
from .cross_site import hosts_of
from .full_names import full_name
from .groups import group_of
from .jwks import KeySets
from .launch import (
    CLAIM,
    DEEP_LINKING,
    RESOURCE_LINK,
    REVIEW,
    WINDOW_S,
    Course,
    Launch,
    check_age,
    deep_link,
    id_11_of,
    identities_of,
    ids_of,
    target_of,
    test_student_of,
    text_of,
)
from .nonces import Nonces, digest_of
from .presets import claim_path
from .refusals import Reason, Refusal
from .return_url import page_of
from .roles import is_test_user
from .services import claims as service_claims
from .services import lms_dates

# The security framework (5.1.1) calls for RS256; a list of our own, never what the token's header asks for.
_ALGORITHMS = ["RS256"]
MESSAGES = (RESOURCE_LINK, DEEP_LINKING, REVIEW)
# What other messages say besides: Deep Linking 2.0, 3.4.1; LTI Submission Review 1.0 (for_user).
_ASKS = {
    "settings": "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings",
    "for_user": f"{CLAIM}for_user",
    "deployment_id": f"{CLAIM}deployment_id",
}
_CLAIMS = ("deployment_id", "target_link_uri", "resource_link", "roles")
_REQUIRED = ["iss", "aud", "exp", "iat", "nonce"]

# Canvas dates a token when it shows the page with the link, and waits for the click
# (app/controllers/lti/ims/authentication_controller.rb); so the age of a token says little. That a launch is new is
# said by its nonce, which the hub made for this login.
_TOKEN_AGE_S = 3600
_NO_TIME = 1e15
# How long a login may take, from the click in the LMS to its answer, in seconds: a student may have to log in there.
KEEP_STATE_S = 600


def platform_of(consumers: Sequence[Consumer], issuer: str, client_id: str) -> tuple[Consumer, Platform, str]:
    """Return the consumer with its platform and the client id that begin a login.

    `client_id` may be "" (LTI 1.3, 4.1.3: it is optional) where the issuer has a single one. Raises Refusal.
    """
    found = [
        (consumer, consumer.platform, known)
        for consumer in consumers
        if consumer.platform and consumer.platform.issuer == issuer
        for known in consumer.platform.client_ids
        if client_id in ("", known)
    ]
    if not found:
        raise Refusal(Reason.UNTRUSTED, f"no consumer has issuer {issuer!r:.100} with client id {client_id!r:.60}")
    if len(found) > 1:
        raise Refusal(
            Reason.UNTRUSTED, f"several client ids for issuer {issuer!r:.100}, and the LMS does not say which"
        )
    return found[0]


async def verify(
    id_token: str,
    *,
    consumer: Consumer,
    client_id: str,
    nonce: str | None,
    hub: SplitResult,
    username_key: str,
    now: float,
    nonces: Nonces,
    keys: KeySets,
    entrances: Sequence[str] = (),
    window_s: float = WINDOW_S,
    services: bool = False,
) -> Launch:
    """Return who is launched by `id_token`, for a login that began with `consumer`, `client_id` and `nonce`.

    `hub` is its public address, `entrances` are the paths of its addresses for launches, `now` is the time in seconds since
    1970, `window_s` how far clocks may differ. `services`: the LMS may also ask for content to be chosen, or for the review
    of a submission. Raises Refusal. The launch counts as used when all else is well.

    `nonce` is None where the browser did not bring the cookie that says it. Then nobody is let in: it is a launch that was
    used before (REPLAYED), or one that did not begin in this browser (NO_COOKIE).
    """
    platform = consumer.platform
    if platform is None or client_id not in platform.client_ids:
        raise Refusal(Reason.UNTRUSTED, f"client id {client_id!r:.60} was revoked during the login", consumer.name)
    username_key = consumer.username_key or username_key
    claims = await _claims(id_token, consumer, platform, client_id, keys)
    scope, said = f"1.3 {consumer.name}", str(claims["nonce"])
    if nonce is None and not nonces.is_used(digest_of(scope, said), now):
        raise Refusal(Reason.NO_COOKIE, "its cookie did not come back: blocked, or another browser", consumer.name)
    check_age(_number(claims["iat"], consumer), now, consumer, oldest_s=_TOKEN_AGE_S, ahead_s=window_s)
    if _number(claims["exp"], consumer) + window_s <= now:
        raise Refusal(Reason.EXPIRED, f"the id_token expired {now - claims['exp']:.0f} s ago", consumer.name)
    if _number(claims.get("nbf", 0), consumer) - window_s > now:
        raise Refusal(Reason.CLOCK, f"the id_token begins in {claims['nbf'] - now:.0f} s", consumer.name)
    if nonce is not None and not hmac.compare_digest(said.encode("utf-8", "surrogatepass"), nonce.encode()):
        raise Refusal(Reason.UNTRUSTED, "the nonce is another than that of the login", consumer.name)
    _check_lti(claims, consumer, platform, client_id, MESSAGES if services else MESSAGES[:1])
    lti = {name: claims.get(CLAIM + name) for name in ("context", "custom", "roles", "launch_presentation", "lis")}
    context = lti["context"] if isinstance(lti["context"], dict) else {}
    custom = lti["custom"] if isinstance(lti["custom"], dict) else {}
    roles = tuple(role for role in lti["roles"] if isinstance(role, str)) if isinstance(lti["roles"], list) else ()
    lis = lti["lis"] if isinstance(lti["lis"], dict) else {}
    looks_around = is_test_user(roles)
    presentation = lti["launch_presentation"] if isinstance(lti["launch_presentation"], dict) else {}
    target = str(claims.get(f"{CLAIM}target_link_uri", ""))
    launch = Launch(
        consumer,
        test_student_of(claims.get("sub"), consumer) if looks_around else "",
        roles,
        Course(
            str(context["id"]),
            str(context.get("label") or ""),
            str(context.get("title") or ""),
            text_of(lis.get("course_offering_sourcedid")),
        )
        if context.get("id")
        else None,
        target_of(
            [custom.get("next"), deep_link(target), target],
            hub,
            consumer,
            entrances,
        ),
        "1.3",
        identities_of(
            # A custom field is asked for where it is the key; any other is a link's own.
            lambda key: (
                identity(claims, custom, key, consumer.lms)
                if key == username_key or not key.startswith("custom_")
                else None
            ),
            username_key,
        ),
        # A link's custom fields win over the tool's (`identity`); `sub` is nobody's to write.
        ids_of(claims.get, ["sub"], consumer),
        # Of several hosts of one LMS, such as Canvas's, the first is that of the school, the second the one that is asked.
        hosts_of([text_of(presentation.get("return_url")), platform.authorize_url]),
        id_11=id_11_of(claims, consumer, client_id),
        test_student=looks_around,
        full_name=full_name(*(claims.get(name) for name in ("name", "given_name", "family_name"))),
        used=digest_of(scope, said),
        course_url=page_of(presentation.get("return_url")),
        document_target=text_of(presentation.get("document_target")),
        services=service_claims.of_13(claims, claims.get(f"{CLAIM}resource_link"), client_id),
        date=lms_dates.said(custom, claims["iat"]),
        message=claims[f"{CLAIM}message_type"],
        asks={name: claims.get(claim) for name, claim in _ASKS.items()},
    )
    # As long as its state, and more: a clock that is set back makes it good again.
    if nonce is None or not nonces.use(launch.used, now, now + 2 * window_s + KEEP_STATE_S):
        raise Refusal(
            Reason.REPLAYED, f"its nonce was used before, signed {now - claims['iat']:.0f} s ago", consumer.name,
            used=(launch.used, launch.target, group_of(launch)),
        )  # fmt: skip
    return launch


def claimed_target(id_token: str) -> str:
    """Where the LMS shows the page, as a token says that nobody has verified; "" where it does not say."""
    try:
        claims = jwt.decode(id_token, options={"verify_signature": False})
        return text_of(claims[f"{CLAIM}launch_presentation"]["document_target"])
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
        return ""


def identity(claims: dict[str, Any], custom: dict[str, Any], username_key: str, lms: str = "canvas") -> object:
    """Return what the token of `lms` says in the LTI 1.1 field `username_key`; None when it says nothing.

    Fields that LTI defines are read from the claims that LTI defines, never from a custom field of the same name: in
    Canvas whoever may edit a link can give it custom fields, and they win over the tool's
    (lib/lti/messages/resource_link_request.rb, `unexpanded_custom_parameters`).
    """
    if username_key.startswith("custom_"):
        return custom.get(username_key.removeprefix("custom_"))
    found: Any = claims
    for name in claim_path(lms, username_key):
        found = found.get(name) if isinstance(found, dict) else None
    return found


async def _claims(
    id_token: str, consumer: Consumer, platform: Platform, client_id: str, keys: KeySets
) -> dict[str, Any]:
    """The claims of a token that the platform signed for this client id."""
    try:
        header = jwt.get_unverified_header(id_token)
        kid = header.get("kid")
        if header.get("alg") not in _ALGORITHMS or not isinstance(kid, str | None):
            raise Refusal(Reason.UNTRUSTED, f"the id_token is signed with {header.get('alg')!r:.20}", consumer.name)
        try:
            key = await keys.key(platform, kid)
        except jwt.PyJWKClientConnectionError as error:
            raise Refusal(Reason.NO_KEYS, f"{platform.jwks_url} does not answer: {error}", consumer.name) from None
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key,
            algorithms=_ALGORITHMS,
            audience=client_id,
            issuer=platform.issuer,
            # The times are compared with the clock of the launch, by `verify`.
            options={
                "require": _REQUIRED, "verify_iat": False, "verify_exp": False, "verify_nbf": False,
                "enforce_minimum_key_length": True,
            },
        )  # fmt: skip
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise Refusal(Reason.UNTRUSTED, f"id_token: {error}"[:200], consumer.name) from None
    return claims


def _check_lti(
    claims: dict[str, Any], consumer: Consumer, platform: Platform, client_id: str, messages: Sequence[str]
) -> None:
    """Raise Refusal for a token that is not a launch of LTI 1.3, or not one for us."""
    kind = claims.get(f"{CLAIM}message_type")
    if kind not in messages:
        raise Refusal(Reason.WRONG_MESSAGE, f"a {kind!r:.60}, not an {RESOURCE_LINK}", consumer.name)
    if claims.get("azp", client_id) != client_id:
        raise Refusal(Reason.UNTRUSTED, "azp is another client id", consumer.name)
    deployment = claims.get(f"{CLAIM}deployment_id")
    if platform.deployment_ids and deployment not in platform.deployment_ids:
        raise Refusal(
            Reason.UNTRUSTED, f"deployment {deployment!r:.60} is not one of its deployment_ids", consumer.name
        )
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and not claims.get("azp"):
        raise Refusal(Reason.MALFORMED, "it is for several audiences, and has no azp", consumer.name)
    if claims.get(f"{CLAIM}version") != "1.3.0":
        raise Refusal(Reason.MALFORMED, f"LTI {claims.get(f'{CLAIM}version')!r:.20}, not 1.3.0", consumer.name)
    # LTI 1.3, 5.3 and 5.4.2. `sub` is not among them: an LMS may launch people without a name.
    for name in _CLAIMS if kind != DEEP_LINKING else ("deployment_id", "roles"):
        if CLAIM + name not in claims:
            raise Refusal(Reason.MALFORMED, f"id_token: without the claim {name}", consumer.name)
    link, context = claims.get(f"{CLAIM}resource_link"), claims.get(f"{CLAIM}context")
    if kind != DEEP_LINKING and not (isinstance(link, dict) and link.get("id")):
        raise Refusal(Reason.MALFORMED, "id_token: resource_link has no id", consumer.name)
    # Its label and title are for people, and may be empty (LTI 1.3, 5.4.1).
    if context is not None and not isinstance(context, dict):
        raise Refusal(Reason.MALFORMED, "id_token: context is not an object", consumer.name)


def _number(value: object, consumer: Consumer) -> float:
    # No seconds since 1970: NaN, and an integer that no float can be.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _NO_TIME:
        raise Refusal(Reason.MALFORMED, "iat or exp is not a number", consumer.name)
    return value
