"""The page on push and pull is executed; what needs a server meets one on loopback."""

from __future__ import annotations

import ast
import getpass
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.project.test_docs import ROOT, blocks, normal, write_files
from tests.support.git_http import GitHttp
from tests.support.loopback import WRITER
from tests.support.servers import Servers

PAGE = "docs/push-pull.md"
HOME = "/home/ada"
"""What the page calls the folder that everything lies in."""
SERVERS = ("s3.example.org", "data.example.org", "dav.example.org", "git.example.org")
"""A block that names one of these is a story of its own."""
FIRST_RUN = "python train.py scale=3"
"""The last of the README's commands that the page takes for granted."""
BACK = """$ python train.py scale=8
$ flexlock-hydra -q push @latest
sent 8 objects (12.1 kB) of 8 to ...
...
$ flexlock-hydra pull "$(git tag | tail -1)" --from ../origin.git --into ../restored
restored ... with 5 data files in
...
$ rm -r ../restored
"""
"""What works when a data remote is set up."""


@dataclass(frozen=True)
class Step:
    """A command with what it prints as the page shows it: nothing, where that says nothing."""

    command: str
    shown: str

    @property
    def code(self) -> int:
        """The exit code that goes with what is shown."""
        if re.search("^error: ", self.shown, re.MULTILINE):
            return 2
        is_ours = self.command.startswith("flexlock-hydra")
        return int(is_ours and ": missing on the remote\n" in self.shown)

    def shows(self, printed: str) -> bool:
        """Whether the page shows an output; ``...`` stands for anything."""
        pattern = "".join(
            r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"
            for line in undated(self.shown).splitlines()
        )
        return not self.shown or re.fullmatch(pattern, f"{undated(printed)}\n") is not None


def undated(text: str) -> str:
    """An output without what differs from run to run."""
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d ", "TIME ", normal(text), flags=re.MULTILINE)


@dataclass(frozen=True)
class Reader:
    """Somebody who types what a page says."""

    project: Project
    here: Mapping[str, str] = field(default_factory=dict)
    """What the page says -> what it is here."""

    def types(self, steps: Iterable[Step]) -> None:
        """Type commands into one shell; each ends, and prints, as the page says."""
        steps = list(steps)
        log = Path(tempfile.mkdtemp(dir=self.project.root.parent))
        script = "".join(
            f"{{\n{self._here(step.command)}\n}} > {log}/{number} 2>&1\n"
            f"echo $? > {log}/{number}.code\n"
            for number, step in enumerate(steps)
        )
        self.project.call("bash", "-c", script)
        for number, step in enumerate(steps):
            printed = self._on_page(Path(log, str(number)).read_text(encoding="utf-8"))
            code = int(Path(log, f"{number}.code").read_text())
            assert code == step.code, f"{step.command}\n{printed}"
            assert step.shows(printed), f"{step.command}\n{printed}"

    def _here(self, text: str) -> str:
        for shown, real in self.here.items():
            text = text.replace(shown, real)
        return text

    def _on_page(self, text: str) -> str:
        for shown, real in self.here.items():
            text = text.replace(real, shown)
        return text.replace(str(self.project.root.parent), HOME)


def steps_of(block: str) -> list[Step]:
    """The commands of a console block."""
    parts = [part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [Step(command, shown) for command, _, shown in parts]


def blocks_of(server: str | None) -> list[str]:
    """The page's console blocks that need a server, or those that need none."""
    return [
        block
        for block in blocks(PAGE, "console")
        if next((name for name in SERVERS if name in block), None) == server
    ]


def readme_until(command: str) -> Iterator[Step]:
    """The README's commands up to one of them, which is not among them."""
    steps = [step for block in blocks("README.md", "console") for step in steps_of(block)]
    typed = takewhile(lambda step: step.command != command, steps)
    return (step for step in typed if "pip install" not in step.command)


@pytest.fixture
def reader(tmp_path: Path, env: dict[str, str]) -> Reader:
    """Somebody with the README's project, before its first run."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    project = Project(tmp_path / "project", {**env, "PATH": path, "COLUMNS": "110"})
    Path(env["HOME"], ".ssh").mkdir(mode=0o700)
    Path(env["HOME"], ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    project.root.mkdir()
    write_files(project, "README.md")
    reader = Reader(project)
    reader.types([*readme_until(FIRST_RUN), Step(FIRST_RUN, "")])
    return reader


@pytest.fixture
def gpg_home() -> Iterator[str]:
    """A home of gpg with one key, short enough for the names of its sockets."""
    with tempfile.TemporaryDirectory(prefix="gpg-") as folder:
        gpg = ["gpg", "--homedir", folder, "--batch", "--quiet", "--passphrase", ""]
        key = ["--quick-gen-key", "Ada <ada@example.org>", "ed25519", "sign", "never"]
        subprocess.run([*gpg, *key], check=True, capture_output=True)
        yield folder
        subprocess.run(["gpgconf", "--homedir", folder, "--kill", "all"], check=True)


@pytest.mark.slow
@pytest.mark.needs("gpg", "gpgconf")
def test_the_story_of_the_page_is_true(reader: Reader, gpg_home: str) -> None:
    """Every command without a server ends and prints as the page says, in its order."""
    reader.project.env["GNUPGHOME"] = gpg_home
    reader.types(step for block in blocks_of(None) for step in steps_of(block))


def with_origin(reader: Reader, here: Mapping[str, str]) -> Reader:
    """A reader in whose place some texts of the page mean something else, with a git remote."""
    reader.types(steps_of(blocks_of(None)[0])[:2])
    return Reader(reader.project, here)


def ssh_config(reader: Reader, servers: Servers) -> None:
    """Let the page's hosts be the server on loopback, for ssh as for the library."""
    config = Path(reader.project.env["HOME"], ".ssh/config")
    config.write_text(
        f"Host data.example.org git.example.org\n"
        f"  HostName 127.0.0.1\n  Port {servers.ssh.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {servers.ssh.key(WRITER)}\n"
        f"  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    # ssh looks for its configuration in the home of the user, whatever HOME says
    reader.project.env["GIT_SSH_COMMAND"] = f"ssh -F '{config}'"


@pytest.mark.slow
def test_s3_is_set_up_as_the_page_says(reader: Reader, servers: Servers) -> None:
    """With the keys in the environment, and with a DVC remote that has them."""
    _ = servers.s3.client
    folder = reader.project.root.parent.name
    here = {"https://s3.example.org": servers.s3.endpoint, "s3://bucket": f"s3://bucket/{folder}"}
    reader = with_origin(reader, here)
    reader.types(step for block in blocks_of("s3.example.org") for step in steps_of(block + BACK))


@pytest.mark.needs("ssh")
def test_ssh_is_set_up_as_the_page_says(reader: Reader, servers: Servers) -> None:
    """What ssh's own configuration knows is enough."""
    servers.ssh.spec("")
    ssh_config(reader, servers)
    folder = servers.ssh.folder / reader.project.root.parent.name
    reader = with_origin(reader, {"/srv/runs": f"{folder}/runs"})
    reader.types(steps_of("".join(blocks_of("data.example.org")) + BACK))


def test_webdav_is_set_up_as_the_page_says(reader: Reader, servers: Servers) -> None:
    """With a DVC remote that has name and password."""
    servers.webdav.spec("")
    here = {"dav.example.org": f"127.0.0.1:{servers.webdav.port}"}
    reader = with_origin(reader, here)
    reader.types(steps_of("".join(blocks_of("dav.example.org")) + BACK))


@pytest.mark.needs("ssh")
def test_git_remotes_are_named_as_the_page_says(
    reader: Reader, servers: Servers, git_http: GitHttp
) -> None:
    """By URL, over ssh and http."""
    name = reader.project.root.parent.name
    ssh_config(reader, servers)
    bare = servers.ssh.repository(name).rpartition(":")[2].partition("/")[2]
    here = {
        "/srv/team.git": f"/{bare}",
        "https://git.example.org/team.git": git_http.repository(name),
    }
    reader = with_origin(reader, here)
    reader.types(steps_of("".join(blocks_of("git.example.org"))))


def test_every_block_is_executed() -> None:
    """Each console block belongs to the story or to one of the servers' tests."""
    known = [block for server in (None, *SERVERS) for block in blocks_of(server)]
    assert sorted(known) == sorted(blocks(PAGE, "console"))
    assert all(blocks_of(server) for server in SERVERS)


def templates() -> Iterator[str]:
    """Every text in the package, with a line break for each value that is put into it."""
    for path in (ROOT / "flexlock_hydra").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                parts = (getattr(value, "value", None) for value in node.values)
                yield "".join(part if isinstance(part, str) else "\n" for part in parts)


def test_every_message_of_the_page_is_one_of_ours() -> None:
    """The messages in the page's last table are texts of the package."""
    known = list(templates())
    rows = (ROOT / PAGE).read_text(encoding="utf-8").partition("## What can go wrong")[2]
    cells = "\n".join(re.findall(r"^\| (.*?) \|", rows, re.MULTILINE))
    messages = re.findall("`([^`]+)`", cells)
    assert len(messages) > 15
    for message in messages:
        pattern = re.escape(message).replace(r"\.\.\.", r"[\s\S]*")
        assert any(re.search(pattern, text) for text in known), message
