"""LTI 1.1: a form, signed with the consumer's secret (IMS LTI 1.1.1, section 4.2: OAuth 1.0 with HMAC-SHA1).

oauthlib computes the signature and compares it in constant time. What ltiauthenticator 1.6.3 does around that is not
used, as it notes nonces before it looks at the signature, for 35 s and 35 seconds' worth of launches only, takes launches
for 30 s, which is less than people need to click (`launch.WINDOW_S`), and asks the request which address was launched,
which a client can write.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
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
from .cross_site import host_of, lms_hosts
from .full_names import full_name
from .groups import group_of
from .launch import WINDOW_S, Course, Launch, check_age, identities_of, ids_of, target_of, test_student_of
from .nonces import Nonces, digest_of
from .presets import PRESETS
from .refusals import Reason, Refusal
from .return_url import page_of
from .services import claims

_REQUIRED = ("oauth_consumer_key", "oauth_signature_method", "oauth_timestamp", "oauth_nonce", "oauth_signature")
# Who, as what and in which course: never from the query of the launch URL, which any teacher can write into a link.
# Canvas copies it into the form that it signs, where a field is not there already (lib/lti/security.rb).
_NEVER_IN_QUERY = frozenset(
    {"user_id", "roles", "context_id", "context_label", "context_title", "lis_course_offering_sourcedid"}
)
# Where nobody is logged in (a public course), Canvas has no user_id, and a link could give one; but Canvas says so itself
# (ext_roles is $Canvas.xuser.allRoles; instructure/canvas-lms, lib/lti/substitutions_helper.rb, `all_roles`).
_CANVAS, _NOBODY = "canvas", "urn:lti:sysrole:ims/lis/None"
_RETURN = "launch_presentation_return_url"
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
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
    entrances: Sequence[str] = (),
    window_s: float = WINDOW_S,
) -> Launch:
    """Return who is launched by the form `body`, posted to `url` with `query` (both as the LMS knows the address).

    Its consumer is the one of `consumers` with the secret by which it is signed (`Consumer.with_each_secret`).

    `hub` is the hub's public address, `entrances` are the paths of its addresses for launches, `now` is the time in
    seconds since 1970; a launch may be `window_s` seconds old, or as much ahead. Raises Refusal. The launch counts as used
    when all else is well.
    """
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
        in_query = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Refusal(Reason.MALFORMED, "no form in UTF-8") from None
    names = {name for name, _ in form}
    # Signed are the fields of form and query, each of them (RFC 5849, 3.4.1.3.1). Canvas, which repeats the query in the
    # form, signs it once; so a signature may also leave out of the query what is in the form. What is read is the same.
    signed = form + [(name, value) for name, value in in_query if name not in names]
    fields = dict(reversed(signed))
    if missing := [name for name in _REQUIRED if not fields.get(name)]:
        raise Refusal(Reason.MALFORMED, f"without {', '.join(missing)}")
    if not _TIMESTAMP.fullmatch(fields["oauth_timestamp"]):
        raise Refusal(Reason.MALFORMED, "its time stamp is not a number")
    if (method := fields["oauth_signature_method"]) != "HMAC-SHA1":
        raise Refusal(Reason.SIGNATURE_METHOD, f"signed with {method!r:.40}, not with HMAC-SHA1")
    timestamp = int(fields["oauth_timestamp"])
    consumer = next((each for each in consumers if each.key and each.key == fields["oauth_consumer_key"]), None)
    known = (consumer.secret, consumer.former_secret or _NOBODYS_SECRET) if consumer else (_NOBODYS_SECRET,) * 2
    signers = [Client(fields["oauth_consumer_key"], secret) for secret in known]
    # All are computed each time: the answer takes as long.
    valid, by_former = (
        any(
            [
                safe_string_equals(_signature(url, pairs, signer), fields["oauth_signature"])
                for pairs in (signed, form + in_query)
            ]
        )
        for signer in signers
    )
    if consumer is None:
        raise Refusal(Reason.UNTRUSTED, "no consumer has its key")
    if by_former:
        consumer = consumer.with_each_secret[1]
    elif not valid:
        raise Refusal(Reason.UNTRUSTED, "wrong signature: another secret, another address, or changed", consumer.name)
    username_key = consumer.username_key or username_key
    check_age(timestamp, now, consumer, oldest_s=window_s, ahead_s=window_s)
    if (version := fields.get("lti_version", "")).startswith("LTI-2"):
        raise Refusal(Reason.LTI_VERSION, f"lti_version is {version!r:.40}", consumer.name)
    if not version.startswith("LTI-1p") or not fields.get("resource_link_id"):
        raise Refusal(Reason.MALFORMED, "without lti_version LTI-1p0 or resource_link_id", consumer.name)
    if (kind := fields.get("lti_message_type")) != "basic-lti-launch-request":
        raise Refusal(Reason.WRONG_MESSAGE, f"a {kind!r:.60}, not a basic-lti-launch-request", consumer.name)
    stable = [PRESETS[consumer.lms].stable_id, "user_id"]
    if forged := [name for name, _ in in_query if name in (username_key, *stable) or name in _NEVER_IN_QUERY]:
        raise Refusal(Reason.BAD_LINK, f"the link's own address gives {', '.join(forged)}", consumer.name)
    if consumer.lms == _CANVAS and fields.get("ext_roles") == _NOBODY:
        raise Refusal(Reason.NO_NAME, "nobody is logged in there", consumer.name)
    # What the link's own address gives is a teacher's word, not the LMS's.
    in_link = {name for name, _ in in_query}
    vouched = {name: value for name, value in fields.items() if name not in in_link}
    looks_around = is_test_student(consumer.lms, vouched)
    hosts = lms_hosts(fields)
    launch = Launch(
        consumer,
        test_student_of(fields.get("user_id"), consumer) if looks_around else "",
        tuple(role.strip() for role in fields.get("roles", "").split(",") if role.strip()),
        Course(
            fields["context_id"],
            fields.get("context_label", ""),
            fields.get("context_title", ""),
            fields.get("lis_course_offering_sourcedid", ""),
        )
        if fields.get("context_id")
        else None,
        target_of([fields.get("custom_next")], hub, consumer, entrances),
        "1.1",
        identities_of(lambda key: None if key in in_link else fields.get(key), username_key),
        # The check above can be evaded by whoever makes the link: Canvas copies its query into the form, and their own
        # browser can leave the query away. What Canvas has of a person it does not take from there, but somebody
        # without an SIS id has no sourcedid. Canvas's user_id is there always, and the same in all courses.
        ids_of(fields.get, stable, consumer),
        hosts,
        test_student=looks_around,
        full_name=full_name(*(vouched.get(f"lis_person_name_{part}") for part in ("full", "given", "family"))),
        used=digest_of(f"1.1 {consumer.key}", f"{timestamp} {fields['oauth_nonce']}"),
        course_url="" if _RETURN in in_link else page_of(fields.get(_RETURN)),
        document_target=fields.get("launch_presentation_document_target", ""),
        services=claims.of_11(vouched, lambda url: host_of(url) in hosts),
    )
    # Remembered for longer than it is good for: a clock that is set back makes it good again.
    if not nonces.use(launch.used, now, max(now, timestamp) + 2 * window_s):
        raise Refusal(
            Reason.REPLAYED, f"its nonce was used before, signed {now - timestamp:.0f} s ago", consumer.name,
            used=(launch.used, launch.target, group_of(launch)),
        )  # fmt: skip
    return launch


def _signature(url: str, pairs: list[tuple[str, str]], signer: Client) -> str:
    base_string = signature_base_string(
        "POST",
        base_string_uri(url),
        # oauthlib's stub says dict; its code takes pairs, as a name may come twice
        normalize_parameters([(name, value) for name, value in pairs if name not in _UNSIGNED]),  # type: ignore[arg-type]
    )
    return str(sign_hmac_sha1_with_client(base_string, signer))


def is_test_student(lms: str, fields: Mapping[str, str]) -> bool:
    """Whether this is the Test Student of Canvas's "Student View", to which LTI 1.1 gives no role of its own.

    Canvas makes that user with this name, without SIS id and address, and with a digest for a login
    (app/models/course.rb, `find_or_create_student_view_student`). All of it has to be so: nobody who is somebody may be
    taken for one. A Canvas whose teachers see another language may have another name; there it is a person as any other.
    """
    return (
        lms == _CANVAS
        and fields.get("lis_person_name_full") == "Test Student"
        and not fields.get("lis_person_sourcedid")
        and not fields.get("lis_person_contact_email_primary")
        and _SHA1.fullmatch(fields.get("custom_canvas_user_login_id", "")) is not None
    )
