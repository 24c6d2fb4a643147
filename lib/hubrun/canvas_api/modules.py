"""Items in a course's modules that launch a tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from hubrun.canvas_api.api import Api, Form
from hubrun.canvas_api.canvas_resource import CanvasResource, Change, change, field_diff, surplus
from hubrun.canvas_api.tools import Context, Tool


@dataclass(frozen=True)
class ModuleItem(CanvasResource):
    """A published item that launches `tool` at `url` in a new tab, in the module of this name.

    Fields: instructure/canvas-lms, app/controllers/context_module_items_api_controller.rb (create, update).

    The item that is there already is the one in that module with this URL, or else with this title. Which tool an
    item was made with cannot be changed, and need not: Canvas finds the tool by the URL when it launches
    (context_external_tool.rb, from_content_tag). So the URL must be the tool's, with a query or without.

    A module that is missing is made and published. One that is there belongs to the teachers: it is published only
    while it holds nothing but this item, and else it is said that students do not see it.
    """

    course: str
    module: str
    title: str
    url: str
    tool: Tool

    @property
    @override
    def label(self) -> str:
        return f"item {self.title} in module {self.module} of course {self.course}"

    @override
    def probe(self, api: Api) -> Mapping[str, Any]:
        modules = [module for module in api.all(self._path) if module["name"] == self.module]
        return {
            "tools": self.tool.matches(self.tool.probe(api)),
            "modules": [{**module, "items": api.all(f"{self._path}/{module['id']}/items")} for module in modules],
        }

    @property
    def _path(self) -> str:
        return f"{Context('course', self.course).path}/modules"

    def _items(self, module: Form) -> list[Form]:
        """The items of a module that are this one, the best first."""
        ours = [
            item
            for item in module["items"]
            if item.get("type") == "ExternalTool"
            and (item.get("external_url") == self.url or item["title"] == self.title)
        ]
        wrong = {"external_url": self.url, "title": self.title}
        return sorted(ours, key=lambda item: ([item.get(n) != v for n, v in wrong.items()], int(item["id"])))

    def _module(self, found: Mapping[str, Any]) -> Form | None:
        """The module: of several with the name, the one that holds the item, else the first."""
        modules: list[Form] = found["modules"]
        return min(modules, key=lambda module: not self._items(module), default=None)

    @override
    def plan(self, found: Mapping[str, Any], done: Sequence[Change] = ()) -> list[Change]:
        module = self._module(found)
        if module is None:
            # What follows is planned for a module as Canvas makes it: empty and not published (create).
            empty: Form = {"id": "NEW", "published": False, "items": []}
            return [self._add_module(), self._add_item(empty, found), self._publish_item("NEW"), self._publish(empty)]
        changes: list[Change] = []
        items = self._items(module)
        if not items:
            changes += [self._add_item(module, found), self._publish_item(module["id"])]
        elif change := self._change_item(module, items[0]):
            changes.append(change)
        if module.get("published") is False and len(module["items"]) == len(items[:1]):
            changes.append(self._publish(module))
        return changes

    def _add_module(self) -> Change:
        form = {"name": self.module}
        diff = field_diff(f"module {self.module}", {}, form)
        return change(f"add the module {self.module}", f"POST {self._path}", {"module": form}, diff)

    def _publish(self, module: Form) -> Change:
        # skip_content_tags: or it would publish the items too, and one may have come meanwhile (update).
        form = {"module": {"published": True, "skip_content_tags": True}}
        diff = field_diff(f"module {self.module}", {"published": False}, {"published": True})
        return change(f"publish the module {self.module}", f"PUT {self._path}/{module['id']}", form, diff)

    def _add_item(self, module: Form, found: Mapping[str, Any]) -> Change:
        form: Form = {"type": "ExternalTool", "title": self.title, "external_url": self.url, "new_tab": True}
        tool = found["tools"][0] if found["tools"] else {}
        return change(
            f"add the item {self.title}",
            f"POST {self._path}/{module['id']}/items",
            {"module_item": {**form, "content_id": tool.get("id")}},
            field_diff(self.label, {}, form),
            lacks="" if tool else f"there is no {self.tool.label}",
        )

    def _publish_item(self, module: object) -> Change:
        """Canvas makes items unpublished (context_module.rb, add_item). Planned only: sent is what `_change_item` plans."""
        diff = field_diff(self.label, {"published": False}, {"published": True})
        return change(f"publish the item {self.title}", f"PUT {self._path}/{module}/items/NEW", {}, diff)

    def _change_item(self, module: Form, item: Form) -> Change | None:
        wanted = {"title": self.title, "external_url": self.url, "new_tab": True, "published": True}
        # Canvas says `published` only to those who may publish (lib/api/v1/context_module.rb).
        now = {name: item.get(name, name == "published") for name in wanted}
        form = {name: value for name, value in wanted.items() if now[name] != value}
        if not form:
            return None
        only = set(form) == {"published"}
        return change(
            f"publish the item {self.title}" if only else f"change the item {self.title}: {', '.join(form)}",
            f"PUT {self._path}/{module['id']}/items/{item['id']}",
            {"module_item": form},
            field_diff(self.label, now, form),
        )

    @override
    def notes(self, found: Mapping[str, Any]) -> list[str]:
        module = self._module(found)
        if module is None:
            return []
        notes = []
        items = self._items(module)
        if module.get("published") is False and len(module["items"]) > len(items[:1]):
            notes.append(f"module {self.module} is not published and holds other items: students do not see it yet")
        if len(found["modules"]) > 1:
            notes.append(f"course {self.course} has {len(found['modules'])} modules named {self.module}")
        same = [item for item in items if item.get("external_url") == self.url]
        return notes + surplus(self.label, same)
