"""What people see: cards of results and checks, in a notebook and on a terminal, without secrets and without markup."""

from __future__ import annotations

import html
import io
import json
import re
import sys
from typing import Any

import pytest

from books import forget
from hubrun.desired import cards
from hubrun.desired.cards import MIME, Card, ProgressLine, Row, final_text, results_card
from hubrun.desired.cell_errors import error_card, error_line
from hubrun.desired.checks import Check, Test, check_card
from hubrun.desired.resource import Action, Result
from hubrun.errors import BadInput, CheckFailed, CommandFailed, ConnectionLost, EngineMissing, HubrunError, Unreachable
from hubrun.redaction.secret import Secret

EVIL = "<script>alert('x')</script> & co"
DIFF = "--- /etc/f (now)\n+++ /etc/f (wanted)\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    forget(monkeypatch)
    return Secret("k&y<1>", "LTI secret").reveal()


def bundle(card: Card) -> dict[str, Any]:
    return card._repr_mimebundle_()


def test_nothing_that_a_server_says_becomes_markup() -> None:
    shown = bundle(Card(EVIL, [Row("ok", EVIL, EVIL, EVIL, EVIL, EVIL), Row(EVIL, EVIL)], note=EVIL))["text/html"]
    assert "<script" not in shown
    # title, what, seen, more, log, said; the two folds say of what they are; the second row; the note
    assert shown.count(html.escape(EVIL)) == 6 + 2 + 2 + 1


def test_a_secret_is_in_no_form_of_a_card(secret: str) -> None:
    row = Row("failed", f"what {secret}", secret, f"more {secret}", f"log {secret}", f"said {secret}")
    shown = bundle(Card(f"title {secret}", [row], {"results": [{"diff": f"-{secret}"}]}, note=f"note {secret}"))
    everything = json.dumps(shown)
    assert secret not in everything and html.escape(secret) not in everything
    assert shown["text/plain"].count("<LTI secret>") == 7


def test_a_card_carries_its_data_for_the_record_and_only_when_there_is_some() -> None:
    assert bundle(Card("t", [], {"checks": []}))[MIME] == {"checks": []}
    assert MIME not in bundle(Card("t", []))


def test_a_card_as_text_is_aligned_and_shows_details_where_they_matter() -> None:
    rows = [
        Row("ok", "file /a", more="hidden"),
        Row("would change", "file /b", "0.1 s", "+b"),
        Row("failed", "file /c", more="$ c", log="no", said="full"),
    ]
    assert str(Card("title", rows, note="Again.")).splitlines() == [
        "title",
        "  ok            file /a",
        "  would change  file /b  (0.1 s)",
        "      +b",
        "  failed        file /c",
        "      full",
        "      $ c",
        "      no",
        "Again.",
    ]


def test_what_was_done_is_folded_and_what_a_person_must_know_is_not() -> None:
    shown = bundle(Card("t", [Row("failed", "x", more="commands", log="lines", said="why")]))["text/html"]
    visible = re.sub(r"<details>.*?</details>", "", shown)
    assert "why" in visible and "commands" not in visible and "lines" not in visible
    assert re.findall(r"<summary>(.*?)</summary>", re.sub("<span[^>]*>", "<span>", shown)) == [
        "details<span> of x</span>", "log<span> of x</span>",
    ]  # fmt: skip
    assert "<details" not in bundle(Card("t", [Row("ok", "x")]))["text/html"]


def test_a_card_is_a_table_that_a_screen_reader_can_follow() -> None:
    rows = [Row("changed", "file /a", "1.0 s", more="m"), Row("ok", "file /b")]
    shown = re.sub(r" style='[^']*'", "", results(rows))
    assert "<table><caption><b>t</b></caption><thead><tr><th scope='col'><span>status</span></th>" in shown
    assert "<td><b>changed</b></td><th scope='row' align='left'>file /a</th><td>1.0 s</td>" in shown
    # what is no status is the name of its row
    assert "<th scope='row' align='left'><b>server</b></th><td>hub</td>" in re.sub(
        r" style='[^']*'", "", results([Row("server", "hub")])
    )


def results(rows: list[Row]) -> str:
    return str(bundle(Card("t", rows))["text/html"])


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2, definition of relative luminance)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#ffffff", "#f6f8fa", "#212121", "#111111", "#0d1117", "#1e1e1e"])
@pytest.mark.parametrize("status", cards.COLOURS)
def test_a_statuss_bar_is_seen_on_every_background(status: str, background: str) -> None:
    lighter, darker = sorted((luminance(cards.COLOURS[status]), luminance(background)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_text_has_the_colour_of_the_page_around_it() -> None:
    shown = results([Row(status, "x", "y", "m", "l", "s") for status in cards.COLOURS])
    assert not re.search(r"(?<![-\w])(color|background|background-color):(?!none)", shown)


def test_a_long_log_says_how_much_of_it_is_left_out() -> None:
    lines = [f"line {number}" for number in range(1000)]
    kept = cards.bounded("\n".join(lines)).splitlines()
    assert kept == [*lines[:40], "… 800 lines left out …", *lines[-160:]]
    short = "\n".join(lines[:200])
    assert cards.bounded(short) == short
    shown = results([Row("failed", "x", log="\n".join(lines))])
    assert (
        "800 lines left out" in shown and "line 999" in shown and "line 500<" not in shown and "line 500\n" not in shown
    )


def test_results_show_what_was_done_as_a_person_would_have_typed_it() -> None:
    write = Action("write /etc/f", "mktemp …", "editor /etc/f", b"b\n", DIFF)
    results = [
        Result("file /etc/f", "changed", [write, Action("reload", "systemctl reload x")], "reloaded\n", 1.26),
        Result("packages a", "ok"),
    ]
    card = results_card(results, 2.0)
    assert card.title == "1 ok, 1 changed in 2.0 s"
    text = str(card)
    assert "  changed  file /etc/f  (1.3 s)\n      # write /etc/f\n      $ editor /etc/f\n" in text
    assert "-a\n      +b" in text and "$ systemctl reload x" in text and "reloaded" not in text
    assert "mktemp" not in text
    assert card.data["results"][0] == {
        "resource": "file /etc/f", "status": "changed", "actions": ["write /etc/f", "reload"], "diff": DIFF, "seconds": 1.26,
    }  # fmt: skip
    assert results_card([], 0).title == "nothing to do in 0.0 s"


def test_checks_show_expected_and_came_and_what_to_do() -> None:
    card = check_card([Check("health", True, "200", "200"), Check("redirect", False, "301", "404", "Run 03_https")])
    assert card.title == "1 of 2 checks failed"
    assert "  ok      health\n  failed  redirect\n" in str(card)
    assert "expected: 301\n      came:     404\n      to do:    Run 03_https" in str(card)
    assert card.note == "Repair what failed, then run this cell again."
    assert card.data == {
        "checks": [
            {"check": "health", "ok": True, "expected": "200", "came": "200"},
            {"check": "redirect", "ok": False, "expected": "301", "came": "404", "do": "Run 03_https"},
        ]
    }
    assert check_card([Check("a", True, "", "")]).title == "1 check passed"


@pytest.mark.parametrize(
    ("test", "code", "text", "ok", "expected", "came"),
    [
        (Test("t", "s"), 0, "", True, "exit code 0", "exit code 0, no output"),
        (Test("t", "s"), 1, "a\nlast\n\n", False, "exit code 0", "exit code 1, last"),
        (Test("t", "s", prints="no", fails=True), 1, "no", True, "an error and output with no", "exit code 1, no"),
        (Test("t", "s", prints="no", fails=True), 0, "", False, "an error and output with no", "exit code 0, no output"),
        (Test("t", "s", prints="no", fails=True), 0, "no", False, "an error and output with no", "exit code 0, no"),
        (Test("t", "s", prints=r"^ok \d$"), 0, "x\nok 3\n", True, r"exit code 0 and output with ^ok \d$", "exit code 0, ok 3"),
        (Test("t", "s", prints="ok"), 0, "nothing", False, "exit code 0 and output with ok", "exit code 0, nothing"),
        (Test("t", "s", prints="denied", fails=True), 1, "timeout", False, "an error and output with denied", "exit code 1, timeout"),
        (Test("t", "s"), 0, "x" * 500, True, "exit code 0", "exit code 0, " + "x" * 200),
    ],
)  # fmt: skip
def test_a_test_passes_on_its_exit_code_and_output(
    test: Test, code: int, text: str, ok: bool, expected: str, came: str
) -> None:
    check = test.judge(code, text)
    assert (check.ok, check.expected, check.came) == (ok, expected, came)


def test_a_test_of_what_must_fail_says_which_failure_it_expects() -> None:
    with pytest.raises(ValueError, match=r"the test 'the door is locked' would pass for any failure"):
        Test("the door is locked", "s", fails=True)


def test_a_remedy_is_only_given_where_it_is_needed() -> None:
    test = Test("t", "s", remedy="do")
    assert (test.judge(0, "").cause, test.judge(1, "").cause) == ("", "do")


# -- while it goes on ------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_gives_way_to_the_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    live = ProgressLine()
    live.line(f"installing with {secret}")
    live.line("too soon after the first")
    live.finish(Card("done", []))
    assert terminal.getvalue() == "\r\x1b[Kinstalling with <LTI secret>\r\x1b[K"
    assert capsys.readouterr().out == "done\n"


def test_a_log_gets_the_card_alone(capsys: pytest.CaptureFixture[str]) -> None:
    live = ProgressLine()
    live.line("installing")
    live.finish(Card("done", []))
    assert capsys.readouterr() == ("done\n", "")


def test_a_notebook_gets_one_output_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(cards, "_notebook_display", lambda: lambda bundle, raw: shown.append(bundle))
    live = ProgressLine()
    live.line("installing", "(3 s): unpacking")
    live.finish(Card("done", []))
    assert [next(iter(bundle.values())) for bundle in shown] == ["installing (3 s): unpacking", "done"]
    # what changes all the time is not read out
    assert (
        "<span role='status'>installing</span> <span aria-hidden='true'>(3 s): unpacking</span>"
        in shown[0]["text/html"]
    )


# -- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (BadInput, 2),
        (Unreachable, 2),
        (HubrunError, 1),
        (ConnectionLost, 1),
        (CommandFailed, 1),
        (CheckFailed, 1),
        (EngineMissing, 1),
    ],
)
def test_an_error_says_where_what_and_what_to_do_and_knows_its_exit_code(kind: type[HubrunError], code: int) -> None:
    error = kind("no answer", "hub:22", "Turn it on", "line 1\nline 2")
    assert error_line(error) == f"{kind.__name__}: hub:22: no answer"
    assert str(error) == "hub:22: no answer. Turn it on"
    assert str(kind("no answer")) == "no answer"
    assert error.exit_code == code
    card = error_card(error, None)
    assert card is not None and str(card).splitlines()[:6] == [
        "Failed", "  failed  hub:22", "      no answer", "      To do: Turn it on", "      line 1", "      line 2",
    ]  # fmt: skip
    assert ("Nothing was changed" in card.note) == (code == 2) and "run this cell again" in card.note
    error.shown = True
    assert error_card(error, None) is None


def test_a_log_is_kept_as_it_reads_on_paper() -> None:
    log = "(Reading database ... \r(Reading database ... 5%\r(Reading database ... 100%\nUnpacking hello\r\n\n"
    assert final_text(log) == "(Reading database ... 100%\nUnpacking hello"


def test_a_log_is_folded_away_unless_its_step_failed() -> None:
    done = Result(
        "packages hello", "changed", [Action("install hello", "apt-get install hello")], log="Unpacking hello"
    )
    card = results_card([done], 1.0)
    assert "Unpacking" not in str(card) and "Unpacking hello" in card._html()
    done.status = "failed"
    assert "Unpacking hello" in str(results_card([done], 1.0))
