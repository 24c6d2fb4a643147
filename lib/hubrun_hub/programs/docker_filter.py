"""What the unit runs: `python3 -I -B …/start.py`. Makes the packages beside it importable, and serves."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hubrun_docker.docker_filter.serve import main

sys.exit(main())
