"""What a browser can read and write in a session: the runbooks' copies, and nothing else."""

from __future__ import annotations

import datetime
from typing import Any

from jupyter_server.services.contents.checkpoints import Checkpoints
from jupyter_server.services.contents.manager import ContentsManager
from tornado.web import HTTPError
from typing_extensions import override

from hubrun.records.lab.notebook_copy import NotebookCopy
from hubrun.records.lab.recorder import Recorder
from hubrun.records.ledger.manifest import sha256


class NoCheckpoints(Checkpoints):  # type: ignore[misc]
    """JupyterLab asks for a checkpoint with each save. There is nothing to go back to: it would hide what was done."""

    @override
    def create_checkpoint(self, contents_mgr: Any, path: str) -> dict[str, Any]:
        return {"id": "none", "last_modified": datetime.datetime.now(datetime.UTC)}

    @override
    def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        return []


class CopiesManager(ContentsManager):  # type: ignore[misc]
    """The runbooks' copies, and nothing else."""

    @property
    def _recorder(self) -> Recorder:
        recorder: Recorder = self.parent.recorder  # that of the server
        return recorder

    def _copy(self, path: str) -> NotebookCopy:
        copy = self._recorder.copy(path.strip("/"))
        if copy is None:
            raise HTTPError(403, "A session has its runbooks, and no other files")
        return copy

    @override
    def dir_exists(self, path: str) -> bool:
        return not path.strip("/")

    @override
    def file_exists(self, path: str) -> bool:
        return self._recorder.copy(path.strip("/")) is not None

    @override
    def is_hidden(self, path: str) -> bool:
        return False

    @override
    def get_kernel_path(self, path: str, model: Any = None) -> str:
        return self._copy(path).file.name

    @override
    def get(
        self, path: str, content: bool = True, type: str | None = None, format: str | None = None,
        require_hash: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        if not path.strip("/"):
            entries = [_model(copy) for copy in self._recorder.copies] if content else None
            return _fields("", "directory", self._recorder.copies[0].saved_at) | {
                "content": entries, "format": "json" if content else None,
            }  # fmt: skip
        copy = self._copy(path)
        return _model(copy, copy.opened() if content else None, require_hash)

    @override
    def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        copy = self._copy(path)
        if model.get("type") != "notebook" or not model.get("content"):
            raise HTTPError(403, "A session has its runbooks, and no other files")
        try:
            copy.merge(model["content"])
        except ValueError as error:
            raise HTTPError(400, f"This is not a notebook: {error}") from None
        copy.save()
        if copy.error:
            raise HTTPError(500, f"The record cannot be written: {copy.error.strerror}")
        return _model(copy, require_hash=True)

    @override
    def delete_file(self, path: str) -> None:
        raise HTTPError(403, "The runbooks of a session are its record: they cannot be deleted")

    @override
    def rename_file(self, old_path: str, new_path: str) -> None:
        raise HTTPError(403, "The runbooks of a session are its record: they cannot be renamed")


def _fields(name: str, kind: str, modified: float) -> dict[str, Any]:
    when = datetime.datetime.fromtimestamp(modified, datetime.UTC)
    return {
        "name": name, "path": name, "type": kind, "writable": True, "created": when, "last_modified": when,
        "mimetype": None, "content": None, "format": None,
    }  # fmt: skip


def _model(copy: NotebookCopy, content: Any = None, require_hash: bool = False) -> dict[str, Any]:
    """A copy as Jupyter's contents API shows it. Its time and hash are of what a browser saved: what the server writes
    meanwhile is no conflict."""
    model = _fields(copy.file.name, "notebook", copy.saved_at)
    if content is not None:
        model |= {"content": content, "format": "json"}
    if require_hash:
        model |= {"hash": sha256(str(copy.version).encode()), "hash_algorithm": "sha256"}
    return model
