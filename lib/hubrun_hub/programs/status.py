"""Says how the server is: DOMAIN. Prints JSON, what was seen and what of it is trouble. Changes nothing; run by root."""

from __future__ import annotations

import json
import sys

from hubrun_hub.watching.judge import judge
from hubrun_hub.watching.seen import look

if __name__ == "__main__":
    seen = look(sys.argv[1])
    json.dump({"seen": seen, "troubles": [trouble._asdict() for trouble in judge(seen)]}, sys.stdout)
