"""What the unit hubrun-docker-filter.service runs."""

import sys

from hubrun_hub.docker_filter.serve import main

if __name__ == "__main__":
    sys.exit(main())
