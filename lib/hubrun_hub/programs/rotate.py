"""Another secret in a file of the hub's, for 14_rotate; run by root.

file renew FILE [NAME]   another one in the line NAME, or in place of all that the file holds
lti renew FILE DAYS      another one of a consumer of LTI 1.1; the one before is good for so many days more
lti end FILE             the one before is good no more
lti|file look FILE       when that was done, until when the one before is good, and what time it is: seconds since 1970
"""

import sys
import time
from pathlib import Path

from hubrun_hub import rotation


def main(kind: str, command: str, file: str, *more: str) -> str:
    """Do it, and say what is known then."""
    path = Path(file)
    if command != "look":
        with rotation.alone():
            _change(kind, command, path, *more)
    known = {**rotation.times(path), "now": int(time.time())}
    return "\n".join(f"{name}={value}" for name, value in known.items())


def _change(kind: str, command: str, path: Path, *more: str) -> None:
    if command == "end":
        rotation.end_lti(path)
    elif time.time() - rotation.times(path)["rotated"] < rotation.DONE_S:
        return  # another run did it since this one looked
    elif kind == "lti":
        rotation.renew_lti(path, int(more[0]))
    else:
        rotation.renew(path, *more)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
