"""A session of JupyterLab in which a person steps through the runbooks: from its start to its record."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from hubrun.desired.cards import MIME
from hubrun.records.lab.notebook_copy import NotebookCopy
from hubrun.records.lab.recorder import Recorder
from hubrun.records.ledger.manifest import Cause
from hubrun.records.run.signals import Stopped
from hubrun.records.run.site_run import Run
from hubrun.redaction.redact import HERE

if TYPE_CHECKING:  # it takes a second to import
    from hubrun.records.lab.jupyter_server import LabServer

# What JupyterLab could do besides, and would leave no record of, or write cells to files of its own.
_WITHOUT = ("console", "debugger", "extensionmanager", "fileeditor", "lsp", "terminal")


class LabSession:
    """One session. Made for a run that was opened; then `serve`, and `conclude` whatever came of it."""

    def __init__(self, run: Run) -> None:
        """Make the copies, with the site's values; `serve` writes them."""
        self.run = run
        values = run.site.given()
        who = run.record.operator.login
        self.recorder = Recorder([NotebookCopy(path, run.folder / path.name, values, who) for path in run.books])
        self._server: LabServer | None = None
        self._ends = False

    def serve(self, port: int, browser: bool, tell: Callable[[str, Path], None]) -> None:
        """Serve JupyterLab until it is shut down there, or `stop` is called. Raises Stopped when that is done at once, and
        OSError when the copies cannot be written.

        port: or, where it is taken, one after it. tell: gets the address, which holds the token, and a file that opens it.
        """
        for copy in self.recorder.copies:
            copy.save()
            if copy.error:
                raise copy.error
        token = secrets.token_urlsafe(24)
        HERE.learn(token, "token of JupyterLab")
        with _own_folders() as folder:
            server = self._server = _server(folder, self.run.folder, self.recorder, port, browser, token)
            address = f"http://127.0.0.1:{server.port}{server.default_url}?token={token}"
            server.ready = lambda: tell(address, Path(server.browser_open_file))
            try:
                server.start()
            finally:
                self._ends = True
                self._end_kernels()

    def stop(self, cause: Cause) -> None:
        """For `on_signal`: the first time, end in order: what runs is interrupted. The next time, at once. Then it ends."""
        if self._ends:
            return
        if self._server and not self.recorder.stopping:
            self.recorder.stopping = cause
            self._server.stop(from_signal=True)
            return
        self._ends = True
        raise Stopped(cause)

    def _end_kernels(self) -> None:
        """Kill the kernels that are left when the server ended out of its turn, and what they have started."""
        for kernel in list(self._server.kernel_manager._kernels.values()) if self._server else ():
            process = getattr(kernel.provisioner, "process", None)
            if process and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def conclude(self) -> None:
        """Let the run's record say what ran, so that the run can be finished."""
        self._ends = True
        self.recorder.close()
        entries = {book.name: book for book in self.run.record.runbooks}
        for copy in self.recorder.copies:
            copy.save()
            entry = entries[HERE.text(copy.file.stem)]
            entry.file = f"{entry.name}.ipynb" if copy.ran else ""
            if copy.ran:
                self.run.take_in(entry, copy)
            for shown in copy.shown(MIME):
                self.run.record.server = shown.get("server") or self.run.record.server


@contextlib.contextmanager
def _own_folders() -> Iterator[Path]:
    """A folder that only this account can open, for what Jupyter keeps of a session; nothing of the account's, or of the
    machine's, own configuration of Jupyter counts. Afterwards it is gone."""
    with tempfile.TemporaryDirectory(prefix="hubrun-lab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for variable in [variable for variable in os.environ if variable.startswith(("JUPYTER_", "JUPYTERLAB_"))]:
            del os.environ[variable]
        os.environ |= {"JUPYTER_NO_CONFIG": "1", "JUPYTER_DATA_DIR": name, "JUPYTER_RUNTIME_DIR": f"{name}/run"}
        from jupyter_core.paths import jupyter_config_dir

        clean = Path(jupyter_config_dir())  # with JUPYTER_NO_CONFIG, an empty one that was made for this process
        labconfig = clean / "labconfig"
        labconfig.mkdir(exist_ok=True)
        disabled = {f"@jupyterlab/{each}-extension": True for each in _WITHOUT}
        (labconfig / "page_config.json").write_text(json.dumps({"disabledExtensions": disabled}))
        notices = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        notices.parent.mkdir(parents=True)
        notices.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
        try:
            yield folder
        finally:
            shutil.rmtree(clean, ignore_errors=True)


def _server(folder: Path, root: Path, recorder: Recorder, port: int, browser: bool, token: str) -> LabServer:
    """JupyterLab on loopback, ready to be started. folder: for its own files. root: what it shows."""
    from traitlets.config import Config

    from hubrun.records.lab.jupyter_contents import CopiesManager, NoCheckpoints
    from hubrun.records.lab.jupyter_kernels import RecordedConnection, RecordedKernels, RecordedSessions
    from hubrun.records.lab.jupyter_server import LabServer

    config = Config({
        "Application": {"log_level": logging.ERROR},
        "ServerApp": {
            "ip": "127.0.0.1", "port": port, "root_dir": str(root), "open_browser": browser,
            "allow_root": os.geteuid() == 0, "terminals_enabled": False,
            "contents_manager_class": CopiesManager, "kernel_manager_class": RecordedKernels,
            "kernel_websocket_connection_class": RecordedConnection, "session_manager_class": RecordedSessions,
        },
        "ContentsManager": {"checkpoints_class": NoCheckpoints},
        "IdentityProvider": {"token": token},
        "KernelManager": {"transport": "ipc"},
        "RecordedKernels": {"kernel_manager_class": "hubrun.records.lab.jupyter_kernels.RecordedKernel"},
        "KernelSpecManager": {"allowed_kernelspecs": {"python3"}},
        "LabApp": {
            "default_url": f"/lab/tree/{recorder.copies[0].file.name}", "extension_manager": "readonly",
            "user_settings_dir": str(folder / "settings"), "workspaces_dir": str(folder / "workspaces"),
            "labextensions_path": [],
        },
    })  # fmt: skip
    server: LabServer = LabServer.instance(config=config, jpserver_extensions={"jupyterlab": True})
    server.recorder = recorder
    server.initialize(argv=[], starter_extension="lab", find_extensions=False)
    for handler in server.log.handlers:
        handler.addFilter(_Redacted())
    return server


class _Redacted(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = HERE.text(record.getMessage()), ()
        return True
