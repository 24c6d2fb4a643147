"""Canvas brought to a desired state through its REST API.

canvas = Canvas(site.canvas_url, token)
tool = ExternalTool(Context("course", "101"), "JupyterHub", site.launch_url, key, fetch_secret, navigation=Navigation())
canvas.ensure(tool, ModuleItem("101", "JupyterHub", "Open JupyterHub", site.launch_url, tool))
"""

from hubrun.canvas_api.answers import CanvasFailed, CanvasRefused
from hubrun.canvas_api.instance import Canvas
from hubrun.canvas_api.modules import ModuleItem
from hubrun.canvas_api.tools import Context, ExternalTool, Navigation, Tool, ToolDeployment

__all__ = [
    "Canvas",
    "CanvasFailed",
    "CanvasRefused",
    "Context",
    "ExternalTool",
    "ModuleItem",
    "Navigation",
    "Tool",
    "ToolDeployment",
]
