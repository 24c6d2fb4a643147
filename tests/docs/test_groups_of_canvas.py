"""What docs/how-to/courses.md says turns Canvas's groups into the parameter `groups` does so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from hubrun.environment import PROJECT
from hubrun.params import build

PEOPLE = """user,since,seen,lti_user_id,lti_sub,sis_id,login,email,canvas_user_id,canvas_sis_id
ada,2026-09-01,2026-09-02,u1,,S-1,ada,,11,S-1
1234,2026-09-01,2026-09-02,u5,,S-6,dan,,,
ben--x7,2026-09-01,2026-09-02,u2,,S-2,ben,,,
cho,2026-09-01,2026-09-02,u3,,S-3,cho,,13,
other,2026-09-01,2026-09-02,u4,,S-3,cho2,,,
"""
# canvas-lms, app/controllers/group_categories_controller.rb, export.
ROSTER = """\ufeffname,canvas_user_id,user_id,login_id,sections,group_name,canvas_group_id,group_id
Ada Lovelace,11,S-1,ada,BIO,Project Group 1,7,
Ben Bold,12,S-2,ben,BIO,Project Group 1,7,
Cho Chang,13,S-3,cho,BIO,Project Group 2,8,
New Person,14,S-4,new,BIO,Project Group 2,8,
Zoe Alone,15,S-5,zoe,BIO,,,
Eve First,11,S-1,ada,BIO,Späte Gruppe,9,
Dan Digit,16,S-6,dan,BIO,7,10,
Dan Digit,16,S-6,dan,BIO,组一,11,
"""


def test_groups_out_of_canvas_become_the_parameter(tmp_path: Path) -> None:
    text = (PROJECT / "docs/how-to/courses.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "roster.csv" in block)
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "roster.csv").write_text(ROSTER)
    done = subprocess.run([sys.executable, "-"], input=code, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.findall("^# .*", done.stdout, re.MULTILINE) == [
        "# Cho Chang: no user of the hub is certain", "# New Person: no user of the hub is certain", "# Zoe Alone: is in no group",
    ]  # fmt: skip
    lines = f"  - course: BIO\n{done.stdout}"
    found = yaml.safe_load(f"courses:\n{lines}")
    assert found["courses"][0]["groups"] == {
        "project-group-1": ["ada", "ben--x7"], "sp-te-gruppe": ["ada"], "7": ["1234"], "group-11": ["1234"],
    }  # fmt: skip
    build({"site": "x", "domain": "hub.example.edu", **found}, "here")
