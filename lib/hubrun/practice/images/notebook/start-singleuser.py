#!/usr/bin/env python
"""Stand-in for docker-stacks' start-singleuser.py."""

import os
import shlex
import sys

command = ["jupyterhub-singleuser", *shlex.split(os.environ.get("NOTEBOOK_ARGS", "")), *sys.argv[1:]]
print("Executing:", shlex.join(command), flush=True)
os.execvp(command[0], command)
