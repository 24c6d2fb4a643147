"""What a command printed → the reason that an operator reads, and what to do."""

from __future__ import annotations

import pytest

from hubrun.desired.diagnosis import reason, remedy_for

_UV = """  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of numpyy==99 and you require numpyy==99, we can
      conclude that your requirements are unsatisfiable."""
_UV_SAID = (
    "× No solution found when resolving dependencies: Because there is no version of numpyy==99 and you require numpyy==99, "
    "we can conclude that your requirements are unsatisfiable."
)
# As the builders print it: Docker 20.10's, and BuildKit's.
OLD = f"""Step 21/30 : RUN if [ -s /opt/hubrun/extra-packages.txt ]; then uv pip install -r /opt/hubrun/extra-packages.txt;     fi
 ---> Running in 0123456789ab
Using Python 3.12.3 environment at: /opt/conda
{_UV}
Removing intermediate container 0123456789ab
The command '/bin/bash -euo pipefail -c if [ -s /opt/hubrun/extra-packages.txt ]; then uv …' returned a non-zero code: 1
"""
BUILDKIT = """#21 [16/19] RUN if [ -s /opt/hubrun/extra-packages.txt ]; then uv pip install …
#21 0.412 Using Python 3.12.3 environment at: /opt/conda
""" + "".join(f"#21 0.9{number} {line}\n" for number, line in enumerate(_UV.splitlines())) + """#21 ERROR: process "/bin/bash -euo pipefail -c …" did not complete successfully: exit code: 1
------
 > [16/19] RUN if [ -s /opt/hubrun/extra-packages.txt ]; then uv pip install …:
0.412 Using Python 3.12.3 environment at: /opt/conda
""" + "".join(f"0.9{number} {line}\n" for number, line in enumerate(_UV.splitlines())) + """------
Dockerfile:150
--------------------
 149 |     COPY --chown=1000:100 lib/hubrun/sections/hub/requirements/singleuser.txt
 150 | >>> RUN if [ -s /opt/hubrun/extra-packages.txt ]; then \\
 151 | >>>         uv pip install
--------------------
ERROR: failed to solve: process "/bin/bash -euo pipefail -c …" did not complete successfully: exit code: 1
"""  # fmt: skip
SAID = {
    "uv, Docker 20.10": (OLD, _UV_SAID, "extra_pip_packages"),
    "uv, BuildKit": (BUILDKIT, _UV_SAID, "extra_pip_packages"),
    "pip": (
        "Collecting x\nERROR: Could not find a version that satisfies the requirement numpyy (from versions: none)\n"
        "ERROR: No matching distribution found for numpyy\nThe command '/bin/bash -c pip' returned a non-zero code: 1\n",
        "ERROR: No matching distribution found for numpyy", "extra_pip_packages",
    ),
    "a compiler, with pip's own last words": (
        "#9 3.1   error: command 'gcc' failed: No such file or directory\n#9 3.2   [end of output]\n"
        "#9 3.3   note: This error originates from a subprocess\n#9 ERROR: process \"…\" did not complete successfully: exit code: 1",
        "error: command 'gcc' failed: No such file or directory [end of output] note: This error originates from a subprocess",
        "carries on",
    ),
    "a full disk": (
        "#9 30.0 error: Failed to write to the distribution cache\n#9 30.1   Caused by: No space left on device (os error 28)\n"
        "ERROR: failed to solve: process \"…\" did not complete successfully: exit code: 2",
        "error: Failed to write to the distribution cache Caused by: No space left on device (os error 28)", "disk is full",
    ),
    "no network": (
        "  × Failed to fetch: `https://packages.example.org/simple/x/`\n  ╰─▶ dns error: failed to lookup address information: Temporary failure in name resolution\n"
        "The command '/bin/bash' returned a non-zero code: 1",
        "× Failed to fetch: `https://packages.example.org/simple/x/` dns error: failed to lookup address information: Temporary failure in name resolution",
        "resolve host names",
    ),
    "a check of the Dockerfile's own": (
        "#30 2.0 server extension jupyterlab_git is not OK\n#30 ERROR: process \"…\" did not complete successfully: exit code: 1\n",
        "server extension jupyterlab_git is not OK", "carries on",
    ),
    "a base that is nowhere": (
        "Error response from daemon: pull access denied for mybase, repository does not exist or may require 'docker login'\n",
        "Error response from daemon: pull access denied for mybase, repository does not exist or may require 'docker login'", "base_image",
    ),
    "a killed step": (
        "#21 90.1 Building wheel\n#21 99.9 Killed\n#21 ERROR: process \"…\" did not complete successfully: exit code: 137\n", "Killed", "carries on",
    ),
    "apt": (
        "dpkg: error processing package nginx (--configure):\n installed post-installation script returned error exit status 1\n"
        "E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
        "dpkg: error processing package nginx (--configure): installed post-installation script returned error exit status 1", "carries on",
    ),
    "a line and nothing else": ("done\nnginx: [emerg] invalid port\n\n", "nginx: [emerg] invalid port", "carries on"),
    "an error long ago is not the reason": ("error: one\n" + "more\n" * 20 + "out of luck\n", "out of luck", "carries on"),
    "nothing": ("\n", "", "carries on"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_the_reason_is_in_the_tools_own_words_and_the_remedy_fits(name: str) -> None:
    text, why, remedy = SAID[name]
    assert reason(text) == why
    assert remedy in remedy_for(text)
