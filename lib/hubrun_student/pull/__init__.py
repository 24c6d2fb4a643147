"""nbgitpuller as links reach it: pages of ours in place of its own, in every student's server.

nbgitpuller 1.3 does what a link says, by GET: from any repository (local ones too), into any folder (hidden ones too),
going on to any page (such as a second pull). One click on a foreign page was enough to put a kernel's description into
somebody's home and to start it. Here:

- `links` says what a link may ask for; anything else is refused.
- A link shows a page that says what will be pulled, where to and what is opened, and waits for a click.
- One that comes by a launch (`hubrun_hub.pull_ticket`) goes on without it if the repository is at a place that the site names.
- `run` is nbgitpuller's own pulling, in a process of its own, where git has no hooks and speaks HTTP alone.

It runs in the students' image.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.pull"}]


def _load_jupyter_server_extension(app: Any) -> None:
    from .handlers import add_handlers  # not before the server is there: a check of links needs none of it

    add_handlers(app)
