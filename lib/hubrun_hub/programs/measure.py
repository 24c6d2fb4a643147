"""Measures who uses how much of the disk, and keeps it for `status`: COURSES. Run by root, by hubrun-measure.timer."""

from __future__ import annotations

import sys
from pathlib import Path

from hubrun_hub.watching import kept, usage

if __name__ == "__main__":
    kept.write("usage", usage.measure(Path(sys.argv[1]), usage.homes()))
