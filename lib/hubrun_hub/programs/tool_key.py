"""Another public key of the tool (LTI 1.3), for 14_rotate; run with the hub's Python and by its account, whose file it is.

look FILE          when it was rotated, until when the key before is published, and what time it is: seconds since 1970
renew FILE DAYS    another key; the one before is published for so many days more
end FILE           the one before is published no more
"""

import sys
import time
from pathlib import Path

from hubrun_hub.lti import tool_key


def main(command: str, file: str, days: str = "0") -> str:
    """Do it, and say what is known then."""
    path = Path(file)
    if command == "renew":
        tool_key.renew(path, int(days))
    elif command == "end":
        tool_key.end(path)
    known = {**tool_key.times(path), "now": int(time.time())}
    return "\n".join(f"{name}={value}" for name, value in known.items())


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
