"""The documentation is executed: its commands run, and print what it shows."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest

from flexlock_hydra.cli.group import cli
from flexlock_hydra.hooks.config.options import FlexlockConf
from tests.conftest import Project

ROOT = Path(__file__).parents[2]
NEEDS_NETWORK = re.compile(r"pip install|make (test|demo)")
"""Commands that are the set-up of this very test run, or of CI."""


def blocks(document: str, kind: str) -> list[str]:
    """The fenced blocks of a kind."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands(document: str) -> list[tuple[str, str]]:
    """Each ``$`` command of the console blocks with the output that is shown."""
    found = []
    for block in blocks(document, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if not NEEDS_NETWORK.search(command):
                found.append((command, shown))
    return found


def normal(text: str) -> str:
    """An output without what differs from run to run: ids, times, hashes, places, sizes."""
    for pattern, name in (
        (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "ID"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 on \S+", "TIME"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 (identical|close|differs) on \S+", r"TIME \1 on HOST"),
        (r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", "DAY/TIME"),
        (r"in (\d+ ms|\d+\.\d s)", "in TIME"),
        (r"\b[0-9a-f]{32}\b", "MD5"),
        (r"\b[0-9a-f]{12}\b", "SHA"),
        (r"CPython [\d.]+\w*(, \d+ packages)?", "PYTHON"),
        (r"\d+\.\d kB", "N kB"),
        (r"(/[\w.-]+)+/(project|store|restored|origin\.git)", r"/\2"),
        (r"on (main|master),", "on BRANCH,"),
        (r"\d+ (s|min) ago +\d+(\.\d+)? m?s +", "AGO TOOK "),
        (r"when +took +", "when took "),
    ):
        text = re.sub(pattern, name, text)
    return text.strip()


def write_files(project: Project, document: str) -> None:
    """The files that a document shows: their first line names them."""
    for kind in ("python", "yaml"):
        for block in blocks(document, kind):
            if match := re.match(r"# (\S+\.(?:py|yaml))\n", block):
                project.write(match[1], block)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("README.md", marks=pytest.mark.hydra),
        "docs/commands.md",
        "docs/compare.md",
        "docs/find.md",
        pytest.param("docs/hydra.md", marks=pytest.mark.hydra),
        "docs/reproduce.md",
    ],
)
def test_every_command_prints_what_is_shown(
    document: str, tmp_path: Path, env: dict[str, str]
) -> None:
    """Each command of a document runs, in order, and prints what the document says."""
    project = Project(tmp_path / "project", env)
    project.root.mkdir()
    write_files(project, document)
    bin_folder = Path(sys.executable).parent
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
    }
    for command, shown in commands(document):
        done = project.call(
            "bash", "-c", command,
            cwd=None, check=False, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}", **identity,
        )
        differs = re.search(r" (diff|why) [^|]*$", command) is not None
        assert done.code == differs, f"{command}\n{done.err}"
        warnings = "".join(
            line for line in done.err.splitlines(keepends=True) if line.startswith("warning: ")
        )
        if shown or "flexlock-hydra" in command:
            assert normal(warnings + done.out) == normal(shown), command


def test_links_between_documents() -> None:
    """Every relative link leads to a file."""
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#:]+)[^)]*\)", text):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_option_is_documented() -> None:
    """Each option of the callback and each command stands in its document."""
    hydra_page = (ROOT / "docs/hydra.md").read_text(encoding="utf-8")
    for option in fields(FlexlockConf):
        assert option.name == "_target_" or f"`{option.name}`" in hydra_page
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert f"## {name}" in page
        for parameter in command.params:
            for flag in parameter.opts:
                assert flag.lstrip("-") in page, f"{name} {flag}"
