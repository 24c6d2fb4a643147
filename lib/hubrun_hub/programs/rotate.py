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
    if (kind, command) == ("file", "renew"):
        rotation.renew(path, *more)
    elif command == "renew":
        rotation.renew_lti(path, int(more[0]))
    elif command == "end":
        rotation.end_lti(path)
    known = {**rotation.times(path), "now": int(time.time())}
    return "\n".join(f"{name}={value}" for name, value in known.items())


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
