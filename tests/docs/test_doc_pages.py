"""The documentation is true as far as can be seen without a server: commands, parameters, links, and what is made."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click
import pytest
import yaml

import doc_pages
from doc_pages import DOCS, Block
from hubrun import params
from hubrun.cli.main import hubrun
from hubrun.environment import PROJECT
from hubrun.params.consumers import ConsumerParams
from hubrun.params.courses import CourseParams, ExamParams, LateParams
from hubrun.params.site import Site

sys.path.append(str(DOCS))

import reference_pages

PAGES = doc_pages.pages()
BLOCKS = [block for path in PAGES for block in doc_pages.blocks(path)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
# What the bootstrap (`hubrun`) runs itself, with its options.
OF_THE_PROJECT = {"docs": {"--serve"}, "test": {"--fast", "--long"}, "bench": {"--quick", "--only", "--long"}}
# Words with an underscore that are no parameters: fields of a launch, and names out of other programs and our own code.
FIELDS = re.compile(r"(lis|custom|ext)_\w+|user_id|preferred_username")
OTHER_NAMES = {
    "asked_ahead", "authorized_keys", "extra_host_config", "hubrun_marks", "label_format", "last_error", "left_out", "load_roles", "plan_first", "template_paths", "canvas_api",
    "hubrun_hub", "hubrun_student", "hubrun_looks", "lti_secret", "proxy_token", "cookie_secret", "tool_key", "backup_password", "subtree_check",
}  # fmt: skip


def arguments(line: str) -> list[str]:
    """What stands behind ./hubrun in a line of shell, up to what is the shell's own."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found: list[str] = []
    for word in list(words)[1:]:
        if word in {"|", "||", "&&", ";", ">"}:
            break
        found.append(word)
    return found


def understood(words: list[str]) -> None:
    """Raise click's own error for words that ./hubrun would not understand; nothing is run."""
    command: click.Command = hubrun
    context: click.Context | None = None
    name, rest = "./hubrun", words
    while True:
        context = command.make_context(name, list(rest), parent=context)
        if not isinstance(command, click.Group) or not (rest := [*context._protected_args, *context.args]):
            return
        found_name, found, rest = command.resolve_command(context, rest)
        assert found_name and found
        name, command = found_name, found


COMMANDS = [
    (block, line.strip()) for block in SHELL for line in block.text.splitlines() if line.strip().startswith("./hubrun")
]


@pytest.mark.parametrize(("block", "line"), COMMANDS, ids=[f"{block}:{line}" for block, line in COMMANDS])
def test_a_command_of_a_page_is_one_that_hubrun_understands(block: Block, line: str) -> None:
    words = arguments(line)
    if words[:1] == ["--help"]:
        return
    if words[0] in OF_THE_PROJECT:
        assert {word for word in words if word.startswith("-")} <= OF_THE_PROJECT[words[0]]
    else:
        understood(words)


def test_a_command_that_is_not_there_is_seen() -> None:
    for wrong in (
        ["instal", "x.yaml"],
        ["plan"],
        ["plan", "x.yaml", "--now"],
        ["records", "lsit"],
        ["practice", "upp"],
    ):
        with pytest.raises(click.UsageError):
            understood(wrong)


def options_of(words: list[str]) -> tuple[set[str], list[str]]:
    """The options of the command that words begin with, and the words behind its name."""
    command: click.Command = hubrun
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return {name for param in command.params for name in param.opts} | {"--help", "-h"}, words


def test_a_command_in_a_sentence_is_there_with_its_options() -> None:
    seen = 0
    for path in PAGES:
        for code in doc_pages.inline_code(path):
            if not code.startswith("./hubrun ") or code.startswith("./hubrun COMMAND"):
                continue
            words = code.split()[1:]
            if words[0] in OF_THE_PROJECT:
                continue
            assert words[0] in hubrun.commands, f"{path}: {code}"
            options, rest = options_of(words)
            given = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert given <= options or words[:2] == ["practice", "ssh"], f"{path}: {code}: {given - options}"
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_a_part_of_a_params_file_holds(block: Block) -> None:
    given = yaml.safe_load(block.text)
    params.build({"site": "bio", "domain": "hub.example.edu"} | given, str(block))


def test_a_parameter_or_a_test_that_a_page_names_is_there() -> None:
    tests = {path.stem for path in (PROJECT / "tests").rglob("test_*.py")}
    models = (Site, ConsumerParams, CourseParams, ExamParams, LateParams)
    known = {*(name for model in models for name in model.model_fields), *tests}
    others = set()
    for path in PAGES:
        for code in doc_pages.inline_code(path):
            name = re.match(r"([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?=$|: )", code)
            if name and name[1] not in known and not FIELDS.fullmatch(name[1]):
                assert name[1] in OTHER_NAMES, f"{path}: there is no {name[1]}"
                others.add(name[1])
    assert others == OTHER_NAMES, "take out of OTHER_NAMES what no page names any more"


def test_every_block_has_a_language_and_most_are_typed_by_a_test() -> None:
    assert {block.language for block in BLOCKS} <= {"sh", "yaml", "text", "python", "json"}
    left_out = [block for block in SHELL if block.not_run]
    assert len(left_out) < len(SHELL) / 3, [f"{block}: {block.not_run}" for block in left_out]
    for block in SHELL:
        assert block.text.strip() and not re.search(r"^\$ |…|\.\.\.", block.text, re.MULTILINE), block


def test_tests_that_comments_name_are_there() -> None:
    named = {name for block in SHELL for name in re.findall(r"tests/[\w/.]+", block.not_run)}
    missing = {name for name in named if not (PROJECT / name).exists()}
    assert named and not missing


@pytest.mark.parametrize("path", [*PAGES, PROJECT / "CONTRIBUTING.md"], ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_link_leads_somewhere(path: Path) -> None:
    for link in doc_pages.links(path):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists() and target.is_relative_to(PROJECT), f"{path}: {link}"
        assert not anchor or anchor in doc_pages.anchors(target), f"{path}: {link}"


def test_every_page_is_in_the_menu_and_every_picture_on_a_page() -> None:
    assert {path for path in PAGES if path.parent != PROJECT} == set(DOCS.rglob("*.md"))
    shown = {
        (path.parent / link).resolve() for path in PAGES for link in doc_pages.links(path) if link.endswith(".png")
    }
    assert shown == set(DOCS.rglob("*.png"))


@pytest.mark.parametrize("path", reference_pages.pages(), ids=lambda path: path.name)
def test_what_is_made_from_the_program_is_as_the_program_is(path: Path) -> None:
    assert path.read_text() == reference_pages.pages()[path], "make it again: ./hubrun docs"


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 120
