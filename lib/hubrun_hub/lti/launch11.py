"""LTI 1.1: a form, signed with the consumer's secret (IMS LTI 1.1.1, section 4.2: OAuth 1.0 with HMAC-SHA1).

oauthlib computes the signature and compares it in constant time. What ltiauthenticator 1.6.3 does around that is not
used, as it notes nonces before it looks at the signature, for 35 s and 35 seconds' worth of launches only (a launch
dated 30 s ahead is valid for 60 s), and asks the request which address was launched, which a client can write.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qsl

from oauthlib.common import safe_string_equals
from oauthlib.oauth1 import Client
from oauthlib.oauth1.rfc5849.signature import (
    base_string_uri,
    normalize_parameters,
    sign_hmac_sha1_with_client,
    signature_base_string,
)

from .consumers import Consumer
from .cross_site import NAMES_LMS, hosts_of
from .launch import CLOCK_S, Course, Launch, check_age, identities_of, target_of, text_of, user_of
from .nonces import Nonces
from .presets import PRESETS
from .refusals import Reason, Refusal

_REQUIRED = ("oauth_consumer_key", "oauth_signature_method", "oauth_timestamp", "oauth_nonce", "oauth_signature")
# Who, as what and in which course: never from the query of the launch URL, which any teacher can write into a link.
# Canvas copies it into the form that it signs, where a field is not there already (lib/lti/security.rb).
_NEVER_IN_QUERY = frozenset({"user_id", "roles", "context_id", "context_label", "context_title"})
# Says of itself what it is, always (lib/lti/security.rb: what a launch has already is not taken from the link).
_FAMILY, _CANVAS = "tool_consumer_info_product_family_code", "canvas"
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
# RFC 5849, 3.4.1.3.1.
_UNSIGNED = ("oauth_signature", "realm")
# Stands in for the secret of a consumer that does not exist: the answer takes as long.
_NOBODYS_SECRET = secrets.token_hex(32)


def verify(
    body: bytes,
    query: str,
    *,
    url: str,
    hub: SplitResult,
    consumers: Sequence[Consumer],
    username_key: str,
    now: float,
    nonces: Nonces,
) -> Launch:
    """Return who is launched by the form `body`, posted to `url` with `query` (both as the LMS knows the address).

    `hub` is the hub's public address, `now` the time in seconds since 1970. Raises Refusal. The launch counts as used
    when all else is well.
    """
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
        in_query = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Refusal(Reason.MALFORMED, "no form in UTF-8") from None
    names = {name for name, _ in form}
    # Signed are the fields of form and query (RFC 5849, 3.4.1.3). Canvas, which repeats the query in the form, signs it
    # once; so whatever is in the form is not taken from the query again.
    signed = form + [(name, value) for name, value in in_query if name not in names]
    fields = dict(reversed(signed))
    if missing := [name for name in _REQUIRED if not fields.get(name)]:
        raise Refusal(Reason.MALFORMED, f"without {', '.join(missing)}")
    if fields["oauth_signature_method"] != "HMAC-SHA1" or not _TIMESTAMP.fullmatch(fields["oauth_timestamp"]):
        raise Refusal(Reason.MALFORMED, "signed by another method than HMAC-SHA1, or its time stamp is not a number")
    timestamp = int(fields["oauth_timestamp"])
    consumer = next((each for each in consumers if each.key and each.key == fields["oauth_consumer_key"]), None)
    base_string = signature_base_string(
        "POST",
        base_string_uri(url),
        # oauthlib's stub says dict; its code takes pairs, as a name may come twice
        normalize_parameters([(name, value) for name, value in signed if name not in _UNSIGNED]),  # type: ignore[arg-type]
    )
    signer = Client(fields["oauth_consumer_key"], consumer.secret if consumer else _NOBODYS_SECRET)
    valid = safe_string_equals(sign_hmac_sha1_with_client(base_string, signer), fields["oauth_signature"])
    if consumer is None:
        raise Refusal(Reason.UNTRUSTED, "no consumer has its key")
    if not valid:
        raise Refusal(Reason.UNTRUSTED, "wrong signature: another secret, another address, or changed", consumer.name)
    username_key = consumer.username_key or username_key
    check_age(timestamp, now, consumer)
    if not fields.get("lti_version", "").startswith("LTI-1p") or not fields.get("resource_link_id"):
        raise Refusal(Reason.MALFORMED, "without lti_version LTI-1p0 or resource_link_id", consumer.name)
    if (kind := fields.get("lti_message_type")) != "basic-lti-launch-request":
        raise Refusal(Reason.WRONG_MESSAGE, f"a {kind!r:.60}, not a basic-lti-launch-request", consumer.name)
    person = {username_key, PRESETS[consumer.lms].stable_id}
    if forged := [name for name, _ in in_query if name in person or name in _NEVER_IN_QUERY]:
        raise Refusal(Reason.BAD_LINK, f"the link's own address gives {', '.join(forged)}", consumer.name)
    # What the link's own address gives is a teacher's word, not the LMS's.
    in_link = {name for name, _ in in_query}
    launch = Launch(
        consumer,
        user_of(fields.get(username_key), username_key, consumer),
        tuple(role.strip() for role in fields.get("roles", "").split(",") if role.strip()),
        Course(fields["context_id"], fields.get("context_label", ""), fields.get("context_title", ""))
        if fields.get("context_id")
        else None,
        target_of([fields.get("custom_next")], hub, consumer),
        "1.1",
        identities_of(lambda key: None if key in in_link else fields.get(key), username_key),
        # The check above can be evaded by whoever makes the link: Canvas copies its query into the form, and their own
        # browser can leave the query away. What Canvas has of a person it does not take from there, but somebody
        # without an SIS id has no sourcedid. Canvas's user_id is there always, and the same in all courses.
        text_of(fields.get("user_id")) if fields.get(_FAMILY) == _CANVAS and username_key != "user_id" else "",
        hosts_of(fields[name] for name in NAMES_LMS if name not in in_link and name in fields),
    )
    if not nonces.use(f"1.1 {consumer.key}", f"{timestamp} {fields['oauth_nonce']}", now, timestamp + CLOCK_S + 1):
        raise Refusal(Reason.REPLAYED, f"its nonce was used before, signed {now - timestamp:.0f} s ago", consumer.name)
    return launch
