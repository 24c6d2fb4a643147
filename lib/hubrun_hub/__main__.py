"""Runs one of the programs: `python3 -I -B /usr/local/lib/hubrun/hubrun_hub PROGRAM ARGUMENT…`.

With -I Python puts this folder before all others, and none where anybody but root may write (docs.python.org,
"Command line and environment", <script> and -I). The one above it takes its place, where the package is found.
"""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
runpy.run_module(f"hubrun_hub.programs.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True)
