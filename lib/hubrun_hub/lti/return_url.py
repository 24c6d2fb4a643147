"""Where people go back to in the LMS when they are not logged in here: what their last launch said of it.

It is kept in the browser, signed, and read for the one button of a page that helps. Never for a redirect.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

COOKIE = "__Host-hubrun-lms"
# The name under which the cookie's value is signed.
SIGNED = "hubrun-lms"
KEEP_DAYS = 180
_LIMIT = 300

# Canvas's own return URL ends on an empty page of its own (config/routes.rb, external_content/success); the course is
# before that. Of other LMSs the front page is taken: what their return URLs do is theirs.
_COURSE = re.compile(r"/courses/[0-9~]{1,40}(?=/|$)")


def page_of(return_url: object) -> str:
    """Return the page of the LMS for a launch's return URL: Canvas's course, else the front page; "" for no address."""
    if not isinstance(return_url, str) or len(return_url) > 2000 or not return_url.isprintable():
        return ""
    try:
        url = urlsplit(return_url.strip())
        netloc = f"{url.hostname}:{url.port}" if url.port else url.hostname
    except ValueError:
        return ""
    if url.scheme not in ("https", "http") or not netloc or not re.fullmatch(r"[a-zA-Z0-9.:-]+", netloc):
        return ""
    course = _COURSE.match(url.path)
    page = f"{url.scheme}://{netloc}{course[0] if course else '/'}"
    return page if len(page) <= _LIMIT else ""
