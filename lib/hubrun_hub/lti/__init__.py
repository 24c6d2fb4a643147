"""The hub's front door for LTI: who may come in, under which name, into which groups, and to which page.

It runs inside JupyterHub, in its own Python; nothing but hubrun_hub is there.
Modules below `authenticator` know nothing of JupyterHub: launches, names and targets are values in, values out.
"""

from pathlib import Path

# For c.JupyterHub.template_paths.
TEMPLATES = str(Path(__file__).with_name("templates"))
