"""The outputs of one cell, as the kernel's messages make them, bounded in what is kept.

What each message does: Jupyter's messaging, "Messages on the IOPub channel".
"""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output, output_from_msg

from hubrun.redaction.redact import HERE

# Of text that a cell prints, so many characters are kept, of its beginning and of its end.
TEXT = 200_000
# Larger than this, in bytes, an output is left out; and so are those of a cell behind so many.
LARGEST = 8_000_000
MOST = 1_000

_SHOWS = ("execute_result", "display_data", "error")


class CellOutputs:
    """What a cell has shown since it was begun. outputs: as a notebook has them, changed in place."""

    def __init__(self) -> None:
        self.outputs: list[NotebookNode] = []
        self._clears = False  # with the next output
        self._displays: dict[str, list[NotebookNode]] = {}

    def take(self, kind: str, content: dict[str, Any], size: int) -> None:
        """Take in a message of type `kind`; others than those that show something are passed over. size: in bytes."""
        if kind == "clear_output":
            self._clears = bool(content.get("wait"))
            if not self._clears:
                self._clear()
            return
        if kind != "stream" and kind not in _SHOWS:
            return
        if self._clears:
            self._clear()
            self._clears = False
        if kind == "stream":
            self._print(content["name"], content["text"])
        elif len(self.outputs) == MOST:
            self._print("stderr", f"\n… the record has no more than {MOST} outputs of a cell …\n")
        elif len(self.outputs) < MOST:
            self._show(kind, content, size)

    def update(self, content: dict[str, Any], size: int) -> None:
        """Show something else in the outputs that were displayed with this id, if there are any here."""
        for output in self._displays.get(content.get("transient", {}).get("display_id", ""), ()):
            if size <= LARGEST:
                output.data, output.metadata = NotebookNode(content["data"]), NotebookNode(content["metadata"])

    def _clear(self) -> None:
        self.outputs.clear()
        self._displays.clear()

    def _show(self, kind: str, content: dict[str, Any], size: int) -> None:
        if size > LARGEST:
            said = f"… an output of {size / 1e6:.0f} MB, which the record leaves out …"
            self.outputs.append(new_output("display_data", data={"text/plain": said}))
            return
        output = output_from_msg({"header": {"msg_type": kind}, "content": content})
        self.outputs.append(output)
        if shown_as := content.get("transient", {}).get("display_id"):
            self._displays.setdefault(shown_as, []).append(output)

    def _print(self, name: str, text: str) -> None:
        last = self.outputs[-1] if self.outputs else None
        if last is None or last.output_type != "stream" or last.name != name:
            if len(self.outputs) > MOST:
                return
            last = new_output("stream", name=name, text="")
            self.outputs.append(last)
        # What is written in pieces is one text: half a secret would not be known for what it is.
        last.text += text
        if len(last.text) > 2 * TEXT:
            last.text = _shortened(HERE.text(last.text))


def _shortened(text: str) -> str:
    """The beginning and the end of a long text, in whole lines where there are lines."""
    start = text.rfind("\n", 0, TEXT // 2) + 1 or TEXT // 2
    end = text.find("\n", len(text) - TEXT // 2) + 1 or len(text) - TEXT // 2
    return f"{text[:start]}\n… {end - start} characters, which the record leaves out …\n{text[end:]}"
