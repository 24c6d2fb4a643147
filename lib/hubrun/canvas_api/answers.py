"""What Canvas's answers mean: an answer, or what is wrong with it and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.secret import Secret

RIGHTS = (
    "For a tool in an account the token's owner needs the permission to add and edit LTI tools there, for one in a "
    "course to be its teacher (where the school lets teachers add tools), for modules to edit the course's content"
)


class CanvasRefused(BadInput):
    """Canvas will not do it for this address, token, course or account."""


class CanvasFailed(HubrunError):
    """Canvas did not answer, or not as it should, or did not accept what was sent."""


def judge(response: httpx.Response, where: str, base_url: str) -> tuple[HubrunError | None, str]:
    """What is wrong with an answer (None: nothing), and why another try may help: "throttled", "failed" or "".

    base_url: what the links to further pages must begin with.
    """
    status = response.status_code
    if status == 429 or (status == 403 and "rate limit exceeded" in response.text[:200].lower()):
        # 403 until October 2025 and where it is set so: app/middleware/request_throttle.rb (rate_limit_exceeded).
        return CanvasFailed("Canvas throttles this token: too many requests", where, "Run it again later"), "throttled"
    if status >= 500:
        return CanvasFailed(f"Canvas failed with status {status}", where, _AGAIN), "failed"
    if 300 <= status < 400:
        return _moved(response, where), ""
    data = _json(response)
    if data is None:
        return _not_canvas(response, where), ""
    if status < 300:
        return _strange_page(response, where, base_url), ""
    return _refusal(response, data, where), ""


_AGAIN = "Run it again: it looks at what is there first, so nothing is made twice"


def _refusal(response: httpx.Response, data: Any, where: str) -> HubrunError:
    status = response.status_code
    said = Secret.redact("; ".join(dict.fromkeys(_messages(data)))) or f"status {status}"
    # doc/api/oauth.md, "Storing Tokens": the header tells an unknown token from a missing right.
    if status == 401 and response.headers.get("WWW-Authenticate", "").startswith("Bearer"):
        return CanvasRefused(
            f"Canvas does not accept the token ({said})",
            where,
            "Make a new one in Canvas → Account → Settings → New Access Token, and put it where canvas_token_env or "
            "canvas_token_file says",
        )
    # 401 in older versions, 403 in newer ones: lib/authentication_methods.rb (render_json_unauthorized).
    if status in (401, 403):
        return CanvasRefused(f"the token's owner may not do this ({said})", where, RIGHTS)
    if status == 404:
        return CanvasRefused(
            f"Canvas has no such thing, or hides it from the token's owner ({said})",
            where,
            "Check canvas_course and canvas_account: each is the number in the page's address",
        )
    if status in (400, 422):
        return CanvasFailed(f"Canvas does not accept what was sent: {said}", where, "Change the parameter it names")
    return CanvasFailed(f"Canvas answered with status {status}: {said}", where)


def _messages(data: Any, field: str = "") -> Iterator[str]:
    """The texts in an error's JSON, each after the field that it is about.

    Canvas has several forms of it: a list of {message, field} (lib/api/errors.rb, Reporter; application_controller.rb,
    api_error_json), lists by field ("render json: @tool.errors"), and a message alone (context_modules_api_controller).
    """
    if isinstance(data, str):
        yield f"{field}: {data}" if field else data
    elif isinstance(data, list):
        for each in data:
            yield from _messages(each, field)
    elif isinstance(data, dict) and isinstance(data.get("message"), str):
        about = data.get("field") or data.get("attribute") or field
        yield from _messages(data["message"], str(about))
    elif isinstance(data, dict):
        for name, each in data.items():
            if name not in ("status", "error_report_id"):
                yield from _messages(each, field if name == "errors" else name)


def _json(response: httpx.Response) -> Any:
    """The answer's JSON: an object or a list; None for anything else."""
    try:
        data = response.json()
    except ValueError:
        return None
    return data if isinstance(data, dict | list) else None


def _not_canvas(response: httpx.Response, where: str) -> CanvasRefused:
    kind = response.headers.get("Content-Type", "").partition(";")[0] or "nothing that is named"
    return CanvasRefused(
        f"the answer is not Canvas's: status {response.status_code} with {kind} in place of JSON",
        where,
        "Check canvas_url, and whether a proxy or a log-in page stands before Canvas",
    )


def _moved(response: httpx.Response, where: str) -> CanvasRefused:
    # Only the host: a redirect's path and query may carry what is nobody's business.
    parts = urlsplit(response.headers.get("Location", ""))
    there = f" to {parts.scheme}://{parts.hostname}" if parts.hostname else ""
    return CanvasRefused(
        f"it redirects{there} in place of an answer", where, "Give the address that Canvas answers at as canvas_url"
    )


def _strange_page(response: httpx.Response, where: str, base_url: str) -> CanvasRefused | None:
    """Where the link to the next page (doc/api/pagination.md) leads elsewhere: the token does not go there."""
    following = str(response.links.get("next", {}).get("url", base_url))
    if following.startswith(base_url):
        return None
    parts = urlsplit(following)
    return CanvasRefused(
        f"the next page is at {parts.scheme}://{parts.netloc}", where, "Give that address as canvas_url"
    )


def said_of(error: httpx.HTTPError, where: str) -> tuple[HubrunError, bool]:
    """What a request that got no answer means, and whether it may have reached Canvas."""
    reason = Secret.redact(str(error) or type(error).__name__)[:200]
    if untrusted := re.search(r"certificate verify failed: (.*?)(?: \(_ssl|$)", reason):
        remedy = "For a CA of the school's own, name its file: canvas_ca_file"
        return CanvasRefused(f"its certificate is not to be trusted: {untrusted[1]}", where, remedy), False
    if isinstance(error, httpx.ConnectTimeout):
        return CanvasFailed("no connection in time", where, "Check canvas_url and the network"), False
    if isinstance(error, httpx.TimeoutException):
        return CanvasFailed("no answer in time", where, _AGAIN), True
    if isinstance(error, httpx.ProxyError):
        return CanvasFailed(f"the web proxy lets nothing through: {reason}", where, "Check HTTPS_PROXY"), False
    if isinstance(error, httpx.ConnectError):
        return CanvasRefused(f"no connection: {reason}", where, "Check canvas_url and the network"), False
    return CanvasFailed(f"the connection broke: {reason}", where, _AGAIN), True
