"""Measures what takes too long for a look: who uses how much of the disk, and which updates wait. COURSES: their folder.

Keeps it for `status`. Run by root, by hubrun-measure.timer.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hubrun_hub.homes.folders import folders
from hubrun_hub.watching import kept, updates, usage

if __name__ == "__main__":
    kept.write("updates", updates.count())  # first: nobody's files can keep it from being known
    kept.write("usage", usage.measure(Path(sys.argv[1]), folders()))
