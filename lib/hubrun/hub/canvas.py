"""What Canvas must be told of the hub, for LTI 1.1: as a table to copy from, and as the XML that Canvas takes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from IPython.display import Markdown

from hubrun.hub import config
from hubrun.params import Site

# Names of the IMS common cartridge for LTI links, and of Canvas's extensions: Canvas documentation, "LTI 1.1: Tool XML".
NAMESPACES = {
    "": "http://www.imsglobal.org/xsd/imslticc_v1p0",
    "blti": "http://www.imsglobal.org/xsd/imsbasiclti_v1p0",
    "lticm": "http://www.imsglobal.org/xsd/imslticm_v1p0",
    "lticp": "http://www.imsglobal.org/xsd/imslticp_v1p0",
}


def values(site: Site) -> dict[str, str]:
    """The fields of Canvas's form "Add App" (configuration type: Manual Entry), with what goes in."""
    return {
        "Configuration Type": "Manual Entry",
        "Name": site.canvas_tool_name,
        "Consumer Key": f"on the server: sudo grep LTI_CLIENT_KEY {config.LTI_ENV}",
        "Shared Secret": f"on the server: sudo grep LTI_CLIENT_SECRET {config.LTI_ENV}",
        "Launch URL": site.launch_url,
        "Domain": site.domain,
        "Privacy Level": "Public",
    }


def table(site: Site) -> Markdown:
    """The values as a table for the notebook."""
    rows = "\n".join(f"| {field} | `{value}` |" for field, value in values(site).items())
    return Markdown(f"| field in Canvas | what goes in |\n| --- | --- |\n{rows}")


def xml(site: Site) -> str:
    """The tool as Canvas's "Paste XML" takes it. Key and secret are typed into the form beside it."""
    for prefix, uri in NAMESPACES.items():
        ET.register_namespace(prefix, uri)
    link = ET.Element(f"{{{NAMESPACES['']}}}cartridge_basiclti_link")
    _add(link, "blti:title", site.canvas_tool_name)
    _add(link, "blti:description", "JupyterLab for each student")
    _add(link, "blti:launch_url", site.launch_url)
    extensions = _add(link, "blti:extensions")
    extensions.set("platform", "canvas.instructure.com")
    _property(extensions, "domain", site.domain)
    # Without it Canvas sends no name, and the hub would name students by an opaque id.
    _property(extensions, "privacy_level", "public")
    options = _add(extensions, "lticm:options")
    options.set("name", "course_navigation")
    _property(options, "enabled", "true")
    _property(options, "text", site.canvas_tool_name)
    # The hub refuses to be shown inside another site's page, for good reason; so it opens in a tab of its own.
    _property(options, "windowTarget", "_blank")
    ET.indent(link)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(link, encoding="unicode") + "\n"


def _add(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    prefix, _, local = name.partition(":")
    element = ET.SubElement(parent, f"{{{NAMESPACES[prefix]}}}{local}")
    element.text = text or None
    return element


def _property(parent: ET.Element, name: str, value: str) -> None:
    _add(parent, "lticm:property", value).set("name", name)
