"""Sign LTI 1.1 launches on the server, where the shared secret is and stays.

Runs with the hub's own Python, which has oauthlib.
stdin:  {"env_file": path, "launches": [{"url", "form", "key", "wrong_secret", "age_s", "env_file"}, ...]}
stdout: the signed forms, a JSON list in the same order. The secret is in neither.
"""

import json
import sys
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

from oauthlib.oauth1 import SIGNATURE_TYPE_BODY, Client

from hubrun_hub.lti.consumers import CLIENT_KEY, CLIENT_SECRET


def credentials(env_file: str) -> tuple[str, str]:
    """Return (key, secret) from a file of KEY=value lines; exits with one line when either is missing."""
    try:
        with open(env_file, encoding="utf-8") as lines:
            values = dict(line.strip().split("=", 1) for line in lines if "=" in line and line[0] != "#")
    except OSError as error:
        sys.exit(f"{env_file}: {error.strerror}")
    missing = [name for name in (CLIENT_KEY, CLIENT_SECRET) if not values.get(name)]
    if missing:
        sys.exit(f"{env_file}: no {' and no '.join(missing)}")
    return values[CLIENT_KEY], values[CLIENT_SECRET]


def sign(launch: dict[str, Any], key: str, secret: str) -> dict[str, str]:
    """Return launch["form"] with the oauth_* fields of HMAC-SHA1 (RFC 5849) as a dict.

    Like Canvas, the query of the URL is not signed a second time (it travels as fields of the form).
    """
    client = Client(
        launch.get("key") or key,
        "not-the-secret" if launch.get("wrong_secret") else secret,
        signature_type=SIGNATURE_TYPE_BODY,
        callback_uri="about:blank",
        timestamp=str(int(time.time()) - launch.get("age_s", 0)),
    )
    _, _, body = client.sign(
        launch["url"].partition("?")[0],
        "POST",
        urlencode(launch["form"]),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    return dict(parse_qsl(body, keep_blank_values=True))


if __name__ == "__main__":
    job = json.load(sys.stdin)
    pairs = {path: credentials(path) for path in {each.get("env_file") or job["env_file"] for each in job["launches"]}}
    json.dump([sign(each, *pairs[each.get("env_file") or job["env_file"]]) for each in job["launches"]], sys.stdout)
