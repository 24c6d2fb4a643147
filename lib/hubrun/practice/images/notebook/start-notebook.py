#!/usr/bin/env python
"""Stand-in for docker-stacks' start-notebook.py: JupyterLab, or the single-user server under a hub."""

import os
import shlex
import sys

if "JUPYTERHUB_API_TOKEN" in os.environ:
    command = ["/usr/local/bin/start-singleuser.py"]
else:
    command = ["jupyter", os.environ.get("DOCKER_STACKS_JUPYTER_CMD", "lab")]
    command += shlex.split(os.environ.get("NOTEBOOK_ARGS", ""))
command += sys.argv[1:]
print("Executing:", shlex.join(command), flush=True)
os.execvp(command[0], command)
