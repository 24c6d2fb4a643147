"""People's homes on a disk of their own (hubrun_hub/homes). It is run by root, in the system's own Python.

serve: answers one connection, which is the standard input. hourly: makes snapshots, then moves who can be moved, and
courses. move: moves alone. limits: gives everybody, and courses, the limit of the settings. remove USER…: removes the homes of these users.
"""

import socket
import sys
from datetime import datetime

from hubrun_hub.homes import btrfs, courses, move, move_courses, snapshots
from hubrun_hub.homes.places import SETTINGS, HomeError, Homes, limit_bytes
from hubrun_hub.homes.serve import remove, serve, set_limits


def main(what: str, *users: str) -> int:
    """Return the exit code."""
    homes = Homes()
    if what == "serve":
        serve(socket.socket(fileno=0), homes, SETTINGS)
        return 0
    homes.check_mounted()
    if what == "hourly":  # first: it makes room, and who is moved may take hours
        print(*snapshots.take(homes, limit_bytes(), datetime.now()), sep="\n")
        print(*courses.set_limits(homes, limit_bytes()), sep="\n")
        btrfs.forget_removed(homes.root)
    if what in ("move", "hourly"):
        for line in move.move(homes, limit_bytes()):
            print(line, flush=True)
        print(*move_courses.move(homes, limit_bytes()), sep="\n")
    if what == "limits":
        set_limits(homes, limit_bytes())
    if what == "remove":
        for user in users:
            with homes.alone(user, 20):
                remove(homes, user)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except HomeError as error:
        sys.exit(str(error))
