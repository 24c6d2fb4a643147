"""Removes users of the hub, through the hub, as the service that may remove the test users and no others.

ENV_FILE DATABASE USER…: the file with the service's token, and the hub's database. Prints "user NAME" for each who is
left. It is run by root, with the hub's Python.
"""

import sqlite3
import sys
import urllib.error
import urllib.request

from dotenv import dotenv_values  # type: ignore[import-not-found]

TOKEN = "HUBRUN_VERIFY_TOKEN"
_URL = "http://127.0.0.1:8000/hub/api/users/"


def main(env_file: str, database: str, *users: str) -> None:
    """Remove these users from the hub whose token is in `env_file`; `database` is the hub's, which is only read."""
    token = dotenv_values(env_file)[TOKEN]
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)

    def there() -> list[str]:
        return sorted(set(users).intersection(name for (name,) in connection.execute("SELECT name FROM users")))

    for user in there():
        request = urllib.request.Request(_URL + user, method="DELETE", headers={"Authorization": f"token {token}"})
        try:
            urllib.request.urlopen(request, timeout=90).close()  # nosec B310 - the hub on loopback
        except urllib.error.HTTPError as error:
            if error.code != 404:
                sys.exit(f"removing {user}: {error.code} {error.read()[:300]!r}")
    for user in there():
        print("user", user)


if __name__ == "__main__":
    main(*sys.argv[1:])
