"""Hostile tags: whatever one says, a pull writes nothing outside of its folder and runs nothing.

The tables name what is forged, how, and the words with which it is refused. A path in
a table may name the folder of the attack: ``{scene}``.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.archive.pull.pull import Pulled
from tests.conftest import Done
from tests.support.attacks import attack, refused
from tests.support.forged import Base, Tag, look
from tests.support.forging import (
    Forge,
    config,
    entry,
    file_of,
    folder,
    metafile,
    metafile_as,
    modules,
    option,
    out,
    remote,
    set_of,
    tree_with,
)
from tests.support.git_forge import SUBMODULE
from tests.support.hostile_cases import (
    LARGE,
    LATE,
    LINKS,
    LOCKS,
    OVERLAPS,
    REPOSITORIES,
    TAGS,
    TREES,
)
from tests.support.hostile_values import (
    CONFIGS,
    ENTRIES,
    LISTED,
    LISTINGS,
    METAFILE_KEYS,
    METAFILES_AS_TEXT,
    MODULES,
    MORE_CONFIG,
    NO_METAFILE,
    NOT_SAFE,
    OPTIONS,
    PATHS,
    UNSAFE_OBJECT,
    URLS,
    Cases,
)

Check = Callable[[Path], bool]


def is_file(path: str, content: bytes) -> Check:
    """A file of its own, no link, with these bytes."""

    def check(into: Path) -> bool:
        place = into / path
        return not place.is_symlink() and place.read_bytes() == content

    return check


COMMANDS = (
    "[core]\n\thooksPath = hooks\n\tfsmonitor = {payload}\n\tsshCommand = {payload}\n"
    "\tpager = {payload}\n\teditor = {payload}\n[filter \"evil\"]\n\tsmudge = {payload}\n"
    "\tclean = {payload}\n\tprocess = {payload}\n\trequired = true\n"
    "[alias]\n\tcheckout = !{payload}\n[include]\n\tpath = {scene}/beside/victim\n"
)
HARMLESS: dict[str, tuple[Forge, Check]] = {
    "attributes with filters": (
        tree_with(dotgitattributes="* filter=evil diff=evil merge=evil\n", dotgitconfig=COMMANDS),
        is_file("data/set/a.txt", b"a"),
    ),
    "hooks in the tree": (
        tree_with(**{"hooks__post-checkout": "#!/bin/sh\n{payload}\n", "dotgitconfig": COMMANDS}),
        is_file("data/table.csv", b"a,b\n1,2\n"),
    ),
    "a repository without .git": (
        tree_with(HEAD="ref: refs/heads/x\n", config=COMMANDS, objects__x="", refs__heads__x="x"),
        is_file("objects/x", b""),
    ),
    "a config of git-lfs": (
        tree_with(dotlfsconfig="[lfs]\n\turl = ssh://-oProxyCommand={payload}/x\n"),
        is_file("data/set/sub/b.txt", b"b"),
    ),
    "stages of DVC's": (
        tree_with(**{"dvc.yaml": "stages:\n  x:\n    cmd: {payload}\n"}),
        is_file("data/table.csv", b"a,b\n1,2\n"),
    ),
    "stages of DVC's as data": (
        lambda tag: tag.out("dvc.yaml", f"stages: {{x: {{cmd: {tag.payload}}}}}".encode()),
        lambda into: not (into / "dvc.lock").exists(),
    ),
    "a submodule that runs a command": (
        lambda tag: modules(f"path = x\n\turl = ext::sh -c {tag.payload}")(
            tag.put("x", "1" * 40, SUBMODULE)
        ),
        lambda into: [*(into / "x").iterdir()] == [],
    ),
    "a submodule by an ssh option": (
        modules("path = x\n\turl = ssh://-oProxyCommand=./payload/y"),
        lambda into: not (into / "x").exists(),
    ),
    "submodules as data": (
        lambda tag: tag.out(".gitmodules", b'[submodule "x"]\n\tpath = x\n\turl = -u./x\n'),
        lambda into: not (into / "x").exists(),
    ),
    "data in a submodule": (
        lambda tag: tag.put("x", "1" * 40, SUBMODULE).out("x/q", b"y"), is_file("x/q", b"y")
    ),
    "a home": (
        lambda tag: tag.out("~/.ssh/authorized_keys", b"y"), is_file("~/.ssh/authorized_keys", b"y")
    ),
    "data for an absolute path": (
        lambda tag: tag.out(".flexlock/fsroot/etc/cron.d/x", b"y"),
        is_file(".flexlock/fsroot/etc/cron.d/x", b"y"),
    ),
    "names of Windows' devices": (
        lambda tag: tag.folder("d", {"CON": b"y", "aux.txt": b"y", "x.": b"y", "x ": b"y"}),
        is_file("d/aux.txt", b"y"),
    ),
    "a colon": (lambda tag: tag.out("ab:c", b"y"), is_file("ab:c", b"y")),
    "a backslash": (lambda tag: tag.out("a\\b", b"y"), is_file("a\\b", b"y")),
    "a link that leads out": (
        lambda tag: tag.locked(set_of(links={"a.txt": "../../../beside/victim"})),
        is_file("data/set/a.txt", b"a"),
    ),
    "a link that is absolute": (
        lambda tag: tag.locked(set_of(links={"a.txt": f"{tag.scene}/beside/victim"})),
        is_file("data/set/a.txt", b"a"),
    ),
    "a link out of its piece": (
        lambda tag: tag.out("other", b"a").locked(set_of(links={"a.txt": "../../other"})),
        is_file("data/set/a.txt", b"a"),
    ),
    "a link with a climbing name": (
        lambda tag: tag.locked(set_of(links={"../../../beside/victim": "a.txt"})),
        is_file("data/set/a.txt", b"a"),
    ),
    "a link to itself, links in a circle": (
        lambda tag: tag.locked(set_of(links={"a.txt": "again.txt", "again.txt": "a.txt"})),
        is_file("data/set/a.txt", b"a"),
    ),
    "an executable that climbs": (
        lambda tag: tag.locked(set_of(executable=["../../../beside/victim"])),
        is_file("data/set/run.sh", b"#!/bin/sh\n"),
    ),
    "a repository that lies outside": (
        lambda tag: tag.repository("../../x"), is_file(".flexlock/repos/other/code.py", b"x = 1\n")
    ),
    "a repository with an absolute path": (
        lambda tag: tag.repository(f"{tag.scene}/beside"),
        is_file(".flexlock/repos/other/code.py", b"x = 1\n"),
    ),
    "a repository whose name climbs": (
        lambda tag: tag.repository("../x", "../../../beside"),
        is_file(".flexlock/repos/--..-..-beside/code.py", b"x = 1\n"),
    ),
    "a repository whose name is git's": (
        lambda tag: tag.repository("../x", ".git"),
        is_file(".flexlock/repos/-git/code.py", b"x = 1\n"),
    ),
    "a repository over a link of the tree": (
        lambda tag: tag.link("sub/ln", "../../beside").repository("sub", ln__victim="y"),
        is_file("sub/ln/victim", b"y"),
    ),
}
"""Pulled, and nothing comes of it."""


def table(*rows: tuple[str, Cases]) -> list[Any]:
    """Parameters of a test: what is forged, and the words that refuse it."""
    return [
        pytest.param(forge, said, id=f"{kind}: {name}")
        for kind, cases in rows
        for name, (forge, said) in cases.items()
    ]


def each(forge: Callable[[Any], Forge], cases: dict[str, Any], said: str) -> Cases:
    """Cases that are refused with the same words."""
    return {name: (forge(case), said) for name, case in cases.items()}


REFUSED = table(
    ("path", each(out, PATHS, NOT_SAFE)),
    ("listed", each(file_of, LISTED, NOT_SAFE)),
    ("tree", TREES),
    ("entry", each(entry, ENTRIES, UNSAFE_OBJECT)),
    ("submodule", each(modules, MODULES, UNSAFE_OBJECT)),
    ("link", LINKS),
    ("overlap", OVERLAPS),
    ("repository", REPOSITORIES),
    ("option", each(option, OPTIONS, MORE_CONFIG)),
    ("config", {name: (config(text), said) for name, (text, said) in CONFIGS.items()}),
    ("config", {"core": (config("hardlink_lock = true", "analytics = false"), MORE_CONFIG)}),
    ("url", {name: (remote(url), said) for name, (url, said) in URLS.items()}),
    ("tag", TAGS),
    ("metafile", {name: (metafile(*keys), NO_METAFILE) for name, keys in METAFILE_KEYS.items()}),
    ("metafile", each(metafile_as, METAFILES_AS_TEXT, NO_METAFILE)),
    ("listing", {name: (folder(*raw), said) for name, (*raw, said) in LISTINGS.items()}),
    ("large", LARGE),
    ("lock", LOCKS),
)
BY_COMMAND = {
    "path: sibling", "path: absolute", "path: hook", "path: NUL", "listed: climbs",
    "entry: case twin", "submodule: option", "link: a file below a link",
    "repository: in git's folder", "option: a command by a config", "url: a command",
    "tag: not annotated", "tag: nested without end", "metafile: nested without end",
    "metafile: aliases without end", "listing: nested without end",
    "large: a listing of a million files", "large: a listing of a gigabyte",
    "large: a tree of a hundred million files",
    "lock: an object of Python's", "lock: aliases without end",
}
"""Those that are tried with the command as well."""


@pytest.mark.parametrize(("forge", "said"), REFUSED)
def test_refused(base: Base, scene: Path, forge: Forge, said: str) -> None:
    """It is refused in words, with 2, before anything is checked out: no folder is left."""
    refused(attack(forge(base.at(scene)).push()), said)
    assert not (scene / "into").exists()


@pytest.mark.parametrize(("forge", "said"), table(("late", LATE)))
def test_refused_late(base: Base, scene: Path, forge: Forge, said: str) -> None:
    """What shows only after the checkout ends with 2 as well, and writes nothing outside."""
    refused(attack(forge(base.at(scene)).push()), said)
    assert (scene / "into/app.py").exists()


@pytest.mark.parametrize(
    ("forge", "check"), [pytest.param(*case, id=name) for name, case in HARMLESS.items()]
)
def test_harmless(base: Base, scene: Path, forge: Forge, check: Check) -> None:
    """It is pulled, but nothing of it runs, and no link leads out."""
    pulled = attack(forge(base.at(scene)).push())
    assert isinstance(pulled, Pulled), pulled
    assert check(scene / "into")
    assert not leading_out(scene / "into")


def leading_out(root: Path) -> list[str]:
    """Links below a folder that lead out of it."""
    top = os.path.realpath(root)
    return [
        path
        for path in look(root, without=root / ".git")
        if os.path.islink(path) and not os.path.realpath(path).startswith(f"{top}/")
    ]


@pytest.mark.parametrize(
    ("forge", "said"), [case for case in REFUSED if case.id in BY_COMMAND]
)
def test_refused_by_the_command(
    base: Base, scene: Path, env: dict[str, str], forge: Forge, said: str
) -> None:
    """The command ends with 2 and says why on standard error, in 800 MB of memory."""
    tag = forge(base.at(scene)).push()
    before = look(scene, without=scene / "into")
    done = command(tag, env)
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("error: ") and said in done.err
    assert "Traceback" not in done.err
    assert look(scene, without=scene / "into") == before
    assert not (scene / "into").exists()


def test_the_command_pulls_within_the_same_memory(
    base: Base, scene: Path, env: dict[str, str]
) -> None:
    """The bound on the memory is one that a real pull keeps."""
    assert command(base.at(scene).push(), env).code == 0
    assert len(BY_COMMAND) == len([case for case in REFUSED if case.id in BY_COMMAND])


def command(tag: Tag, env: dict[str, str]) -> Done:
    """Pull with the command line, in bounded memory."""
    words = ["pull", tag.name, "--from", str(tag.origin), "--into", str(tag.scene / "into")]
    size = 800 << 20
    done = subprocess.run(
        [sys.executable, "-m", "flexlock_hydra", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
    )
    return Done(done.returncode, done.stdout, done.stderr)
