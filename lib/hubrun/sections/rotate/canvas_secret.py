"""The new secret of the first consumer in Canvas, by its API."""

from __future__ import annotations

from dataclasses import replace

from IPython.display import Markdown

from hubrun.canvas_api import ExternalTool
from hubrun.desired.server import Server
from hubrun.sections.canvas import canvas_setup
from hubrun.sections.rotate import rotation
from hubrun.server_paths import DEFAULT_CONSUMER, KEPT, secret_path
from hubrun.shell import quote
from hubrun_hub.lti.consumers import CLIENT_SECRET

# The digest of the secret that Canvas has: Canvas itself never says it.
SENT = f"{KEPT}/canvas-secret"


def send(server: Server) -> Markdown | None:
    """Send Canvas the secret of the first consumer, unless it has that; what is left for people to do.

    Raises CanvasRefused, CanvasFailed, BadInput.
    """
    path = secret_path(DEFAULT_CONSUMER)
    asked = [each for each in rotation.lti_secrets(server.site) if each.path == path]
    canvas = canvas_setup.canvas_of(server) if asked else None
    if canvas is None:
        return Markdown("*Nothing to do here: this is for the first consumer, where `canvas_url` is set.*")
    digest = quote(f"sed -n 's/^{CLIENT_SECRET}=//p' {{}} | sha256sum", path)
    has = server.probe(quote(f'[ "$({digest})" = "$(cat {{}})" ]', SENT))[0].exit_code == 0
    # A plan that makes another one first sends that.
    due = not has or any(each.label in server.pending for each in asked)
    tools = [each for each in canvas_setup.tools(server) if isinstance(each, ExternalTool)]
    canvas.ensure(*(replace(each, send_secret=due) for each in tools))
    if due and not server.pending:
        server.run(f"{digest} > {{}}", SENT)
    return None
