"""Hostile tags: whatever one says, a pull writes nothing outside of its folder and runs nothing.

The tables name what is forged, how, and the words with which it is refused. A path in
a table may name the folder of the attack: ``{scene}``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from flexlock_hydra.archive.pull.pull import Pulled, pull
from flexlock_hydra.archive.remotes.choose import with_settings
from flexlock_hydra.archive.tag.read_tag import read_tagged
from flexlock_hydra.errors import FlexlockError, GitError, TargetError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.store import RemoteSpec
from tests.conftest import Done, Project
from tests.support.forged import (
    Base,
    EXECUTABLE,
    FILE,
    Forge,
    LINK,
    LOCK,
    Leaf,
    METAFILES,
    NULL_MD5,
    SUBMODULE,
    Tag,
    annotated,
    bomb,
    config,
    cut,
    entry,
    file_of,
    folder,
    look,
    metafile,
    metafile_as,
    million,
    modules,
    option,
    out,
    remote,
    set_of,
    tree_with,
)
from tests.support.hostile_values import (
    BOMB,
    CONFIGS,
    Cases,
    DIFFERENT,
    ENTRIES,
    LISTED,
    LISTINGS,
    METAFILES_AS_TEXT,
    METAFILE_KEYS,
    MODULES,
    MORE_CONFIG,
    NOT_SAFE,
    NO_MANIFEST,
    NO_METAFILE,
    OPTIONS,
    PATHS,
    UNSAFE_OBJECT,
    URLS,
)


def first(key: str) -> Callable[[str, Any], Forge]:
    """An edit of the first item of a list of the manifest."""
    return lambda name, value: lambda tag: tag.edited(lambda m: m[key][0].update({name: value}))


OUT, DATA = first("outs"), first("data")
TAGS: Cases = {
    "not annotated": (
        lambda tag: replace(tag, wrap=lambda objects, commit, message: commit),
        "none that a push made",
    ),
    "of a tag": (
        lambda tag: replace(tag, wrap=lambda objects, commit, message: annotated(tag.name, "tag")(
            objects, annotated(tag.name)(objects, commit, message), message
        )),
        "is of no commit",
    ),
    "of a file": (
        lambda tag: replace(tag, wrap=lambda objects, commit, message: annotated(tag.name, "blob")(
            objects, objects.write("blob", b"x"), message
        )),
        "is of no commit",
    ),
    "of a tree": (
        lambda tag: replace(tag, wrap=lambda objects, commit, message: annotated(tag.name, "tree")(
            objects, objects.tree(tag.tree), message
        )),
        "is of no commit",
    ),
    "of a commit that is said to be a file": (
        lambda tag: replace(tag, wrap=annotated(tag.name, "blob")), "git upload-pack",
    ),
    "of nothing": (
        lambda tag: replace(tag, wrap=lambda objects, commit, message: annotated(tag.name)(
            objects, "1" * 40, message
        )),
        "git upload-pack",
    ),
    "with another name": (
        lambda tag: replace(tag, wrap=annotated("flexlock/app/20990101T000000Z-00000000")),
        "is another tag's object",
    ),
    "no manifest": (lambda tag: tag.saying("a line\n"), NO_MANIFEST),
    "no message": (lambda tag: tag.saying(""), NO_MANIFEST),
    "no JSON": (lambda tag: tag.saying("a line\n\n{x"), NO_MANIFEST),
    "a list": (lambda tag: replace(tag, manifest=[]), NO_MANIFEST),
    "null": (lambda tag: replace(tag, manifest=None), NO_MANIFEST),
    "a number without end": (lambda tag: tag.saying("l\n\n" + "9" * 10_000), NO_MANIFEST),
    "nested without end": (lambda tag: tag.saying("l\n\n" + "[" * 200_000), NO_MANIFEST),
    "70 MB of message": (lambda tag: tag.saying(b"x" * (70 << 20)), "none that a push made"),
    "format 2": (lambda tag: tag.said(format=2), "format 2 is not known here"),
    "no format": (lambda tag: tag.unsaid("format"), NO_MANIFEST),
    "another tag": (lambda tag: tag.said(tag=f"{tag.name[:-1]}x"), "it is of another tag"),
    "another run": (lambda tag: tag.said(run="20990101T000000Z-00000000"), "of another tag"),
    "a run and a sweep": (
        lambda tag: tag.said(sweep=tag.run_id, jobs=[tag.run_id]), "neither of a run nor"
    ),
    "jobs of a run": (lambda tag: tag.said(jobs=[tag.run_id]), "neither of a run nor of a sweep"),
    "a job that is no id": (lambda tag: tag.said(jobs=["../x"]), "by what is no id"),
    "a predecessor that is no id": (
        lambda tag: tag.said(predecessors=["20990101T000000Z-00000000/../x"]), "by what is no id"
    ),
    "another layout": (lambda tag: tag.said(layout="../x"), "its layout is not known"),
    "no outs": (lambda tag: tag.unsaid("outs"), NO_MANIFEST),
    "outs that are a mapping": (lambda tag: tag.said(outs={}), DIFFERENT),
    "an out less": (lambda tag: tag.edited(lambda m: m["outs"].pop()), DIFFERENT),
    "an out more": (
        lambda tag: tag.edited(lambda m: m["outs"].append({**m["outs"][0], "path": "q"})), DIFFERENT
    ),
    "an out twice": (lambda tag: tag.edited(lambda m: m["outs"].append(m["outs"][0])), DIFFERENT),
    "an out of another id": (OUT("md5", NULL_MD5), DIFFERENT),
    "an out of another path": (OUT("path", "q"), DIFFERENT),
    "an out of another size": (OUT("size", 1 << 70), DIFFERENT),
    "an out of other files": (OUT("nfiles", 99), DIFFERENT),
    "an out of a nested size": (OUT("size", json.loads("[" * 500 + "]" * 500)), DIFFERENT),
    "an out with more keys": (OUT("cmd", "touch x"), DIFFERENT),
    "an out without an id": (OUT("md5", None), NO_MANIFEST),
    "data without an id": (DATA("md5", "../x"), NO_MANIFEST),
    "data of no run": (DATA("run", 1), "the manifest's data are damaged"),
    "data of a nested name": (DATA("name", json.loads("[" * 500 + "]" * 500)), "are damaged"),
    "data that climb": (DATA("path", "../x"), NOT_SAFE),
    "data that are absolute": (lambda tag: DATA("path", f"{tag.scene}/x")(tag), NOT_SAFE),
    "data in git's folder": (DATA("path", ".git/x"), NOT_SAFE),
    "data of half a letter": (DATA("path", "\ud800"), NOT_SAFE),
    "data through a link": (
        lambda tag: DATA("path", "ln/x")(tag.link("ln", tag.scene / "beside")), "through its own"
    ),
    "a metafile of which the manifest says nothing": (
        lambda tag: tag.put(f"{METAFILES}/0099.dvc", tag.tree[f"{METAFILES}/0000.dvc"].content),
        DIFFERENT,
    ),
    "no metafiles": (lambda tag: tag.without(METAFILES), DIFFERENT),
    "a metafile of another name": (lambda tag: tag.metafile("x", "x.yaml"), "is no metafile"),
    "a metafile that is a link": (
        lambda tag: tag.put(f"{METAFILES}/9.dvc", "/etc/passwd", LINK), NOT_SAFE
    ),
    "a metafile that is a program": (
        lambda tag: tag.put(f"{METAFILES}/9.dvc", "x", EXECUTABLE), "is no metafile"
    ),
    "a metafile of 17 MB": (lambda tag: tag.metafile(b"#" * (17 << 20)), "that can be read"),
}

OVERLAPS: Cases = {
    "one path twice": (lambda tag: tag.out("data/table.csv", b"y"), "'data/table.csv' twice"),
    "a file in a folder": (lambda tag: tag.out("data/set/a.txt", b"y"), "'data/set' as a file"),
    "a folder in a folder": (lambda tag: tag.folder("data/set/x", {"a": b"y"}), "'data/set' as"),
    "a file and a folder": (lambda tag: tag.out("q").folder("q/r", {"a": b"y"}), "'q' as a"),
    "below a file of the code": (lambda tag: tag.out("app.py/x"), "'app.py' as a file and as"),
    "in a listing, below a file of the code": (
        lambda tag: tag.folder("conf", {"config.yaml/x": b"y"}), "as a file and as a folder"
    ),
}

LINKS: Cases = {
    "a file that is a link": (
        lambda tag: tag.link("ln", tag.scene / "beside/victim").out("ln"), "own link 'ln'"
    ),
    "a file below a link": (
        lambda tag: tag.link("ln", tag.scene / "beside").out("ln/victim"), "own link 'ln'"
    ),
    "a folder that is a link": (
        lambda tag: tag.link("ln", tag.scene / "beside").folder("ln", {"victim": b"y"}), "own link"
    ),
    "a file below a link amid": (
        lambda tag: tag.link("a/ln", "../..").out("a/ln/b/c/victim"), "own link 'a/ln'"
    ),
    "a listing through a link": (
        lambda tag: tag.link("d/ln", "../../beside").folder("d", {"ln/victim": b"y"}), "'d/ln'"
    ),
    "a link in the tree with another mode": (
        lambda tag: tag.put("ln", str(tag.scene / "beside"), "120777").out("ln/victim"), "own link"
    ),
    "a link in the tree with a padded mode": (
        lambda tag: tag.put("ln", str(tag.scene / "beside"), "0120000").out("ln/victim"), "own link"
    ),
    "an empty folder below a link": (
        lambda tag: tag.link("data/set/ln", "../../..").locked(set_of(empty=["ln/beside/new"])),
        "own link 'data/set/ln'",
    ),
    "DVC's folder": (lambda tag: tag.without(".dvc").link(".dvc", "../beside"), NOT_SAFE),
    "DVC's config": (lambda tag: tag.link(".dvc/config", "/etc/passwd"), NOT_SAFE),
    "DVC's cache": (lambda tag: tag.link(".dvc/cache", "../../beside"), NOT_SAFE),
    "our folder": (
        lambda tag: tag.without(".flexlock").said(outs=[]).link(".flexlock", "../beside"), NOT_SAFE
    ),
    "the place of absolute paths": (lambda tag: tag.link(".flexlock/fsroot", "/"), NOT_SAFE),
    "the place of repositories": (
        lambda tag: tag.link(".flexlock/repos", "../../beside").repository("../other"), NOT_SAFE
    ),
    "the place of one repository": (
        lambda tag: tag.link(".flexlock/repos/other", "../../../beside").repository("../other"),
        NOT_SAFE,
    ),
    "the lock": (lambda tag: tag.link(LOCK, "/etc/passwd"), "holds no lock of run"),
}

REPOSITORIES: Cases = {
    "in git's folder": (lambda tag: tag.repository(".git"), NOT_SAFE),
    "in a folder of git's": (lambda tag: tag.repository(".git/hooks"), NOT_SAFE),
    "in a twin of git's folder": (lambda tag: tag.repository(".GIT/x"), NOT_SAFE),
    "in DVC's folder": (lambda tag: tag.repository(".dvc"), NOT_SAFE),
    "in our folder": (lambda tag: tag.repository(".flexlock/data/x"), NOT_SAFE),
    "at a NUL": (lambda tag: tag.repository("a\0b"), NOT_SAFE),
    "at a long name": (lambda tag: tag.repository("x" * 256), NOT_SAFE),
    "outside, with a long name": (lambda tag: tag.repository("../x", "n" * 300), NOT_SAFE),
    "through a link": (
        lambda tag: tag.link("ln", tag.scene / "beside").repository("ln/new"), "where it has 'ln'"
    ),
    "at a link": (
        lambda tag: tag.link("ln", tag.scene / "beside").repository("ln"), "where it has 'ln'"
    ),
    "at a file": (lambda tag: tag.repository("app.py"), "where it has 'app.py'"),
    "below a file": (lambda tag: tag.repository("app.py/x"), "where it has 'app.py'"),
    "of a commit that is an option": (
        lambda tag: tag.locked(lambda lock: lock["repos"].update(
            other={**lock["repos"].pop("main"), "commit": "--upload-pack=x"}
        )),
        "is no git object id",
    ),
    "with a hook in its tree": (
        lambda tag: tag.repository("sub", **{".git__hooks__post-checkout": "x"}), UNSAFE_OBJECT
    ),
}


LOCKS: Cases = {
    "no YAML": (lambda tag: tag.raw_lock(b"format: 1\nrun: ["), "damaged"),
    "nothing": (lambda tag: tag.raw_lock(b""), "no format number"),
    "an object of Python's": (
        lambda tag: tag.raw_lock(b"format: 1\nrun: !!python/object/apply:os.system [x]\n"),
        "damaged",
    ),
    "aliases without end": (lambda tag: tag.raw_lock(BOMB), "it has an alias"),
    "nested without end": (lambda tag: tag.raw_lock(b"{" * 200_000), "nested too deeply"),
    "17 MB": (lambda tag: tag.raw_lock(b"#" * (17 << 20)), "that can be read"),
    "format 2": (lambda tag: tag.locked(lambda lock: lock.update(format=2)), "format 2 is newer"),
    "of another run": (
        lambda tag: tag.locked(lambda lock: lock["run"].update(id="20990101T000000Z-00000000")),
        "holds no lock of run",
    ),
    "an id that climbs": (
        lambda tag: tag.locked(lambda lock: lock["run"].update(id="../x")), "is no run id"
    ),
    "none": (lambda tag: tag.without(LOCK), "holds no lock of run"),
    "a path that climbs": (
        lambda tag: tag.locked(set_of(path="../../x")), "leads out of its folder"
    ),
    "a path with a NUL": (lambda tag: tag.locked(set_of(path="a\0b")), "leads out of its folder"),
    "outputs that climb": (
        lambda tag: tag.locked(lambda lock: lock["outputs"].update(path="..")), "leads out of"
    ),
    "code to import that climbs": (
        lambda tag: tag.locked(lambda lock: lock["job"]["command"].update(import_paths=["../x"])),
        "leads out of its folder",
    ),
    "a hash that climbs": (lambda tag: tag.locked(set_of(hash={"md5": "../x"})), "has no md5"),
    "an empty folder that climbs": (lambda tag: tag.locked(set_of(empty=["../../../x"])), NOT_SAFE),
    "an empty folder that is absolute": (lambda tag: tag.locked(set_of(empty=["/x"])), NOT_SAFE),
    "an empty folder of git's": (lambda tag: tag.locked(set_of(empty=[".git/hooks"])), NOT_SAFE),
    "an empty folder below a file": (
        lambda tag: tag.locked(set_of(empty=["a.txt/x"])), "'data/set/a.txt' as a file and as"
    ),
}

TREES: Cases = {
    "a hook in a folder": (lambda tag: tag.put("sub/.git/hooks/x", "x", EXECUTABLE), UNSAFE_OBJECT),
    "a twin in a folder": (lambda tag: tag.put("sub/.GIT/config", "x"), UNSAFE_OBJECT),
    "a folder that climbs": (lambda tag: tag.put("../x", "x"), UNSAFE_OBJECT),
    "git, backslash": (lambda tag: tag.put(".git\\hooks\\x", "x"), UNSAFE_OBJECT),
    "climbs, backslash": (lambda tag: tag.put("a\\..\\..\\x", "x"), NOT_SAFE),
    "a drive": (lambda tag: tag.put("C:x", "x"), NOT_SAFE),
    "a share": (lambda tag: tag.put("\\\\server\\x", "x"), NOT_SAFE),
    "DVC's private config": (lambda tag: tag.put(".dvc/config.local", "[core]\n"), NOT_SAFE),
    "a twin of DVC's folder": (lambda tag: tag.put(".DVC/config.local", "[core]\n"), NOT_SAFE),
    "a twin of our folder": (lambda tag: tag.put(".FlexLock/data/0.dvc", "x"), NOT_SAFE),
    "our note as a folder": (lambda tag: tag.put(".flexlock/MISSING/x", "x"), NOT_SAFE),
    "no config of DVC's": (lambda tag: tag.without(".dvc/config"), "that can be read"),
    "a config of 17 MB": (lambda tag: tag.config("#" * (17 << 20)), "that can be read"),
    "submodules by a link": (lambda tag: tag.link(".gitmodules", "app.py"), UNSAFE_OBJECT),
    "a submodule's name that climbs": (
        lambda tag: tag.put(".gitmodules", '[submodule "../../x"]\n\tpath = x\n\turl = /x\n'),
        UNSAFE_OBJECT,
    ),
}


LARGE: Cases = {
    "a listing of a million files": (million, "bytes of names on the remote and 1 by its tag"),
    "a tree of a hundred million files": (bomb, "has more files than can be"),
    "a listing of a gigabyte": (
        lambda tag: tag.folder("d", b"[]").then(cut((1 << 30) + 1)), "has 1073741825 bytes"
    ),
}

LATE: Cases = {
    "a repository through a link of an outer one": (
        lambda tag: tag.repository("sub", "one", ln=Leaf(LINK, b"../../beside")).repository(
            "sub/ln/new", "two"
        ),
        "into/sub/ln/new is not what it should be",
    ),
    "data through a link of a repository": (
        lambda tag: tag.repository("sub", ln=Leaf(LINK, b"../../beside")).out("sub/ln/victim"),
        "into/sub/ln/victim is not what it should be",
    ),
    "an object larger than it says": (
        lambda tag: tag.out("q", b"y").then(cut(1 << 40)), "bytes on the remote and"
    ),
    "one object under ten thousand names": (
        lambda tag: tag.folder("d", {f"f{n}": b"y" * 1000 for n in range(10_000)}, size=1000),
        "bytes on the remote and",
    ),
    "an object larger than the disk": (
        lambda tag: tag.out("q", b"y", claims=9 << 40).then(cut(9 << 40)), "the data needs"
    ),
}
"""Refused when the code is there already: only then it is known."""

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


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A run that was really pushed."""
    return Base.make(tmp_path_factory.mktemp("pushed"))


@pytest.fixture
def scene(
    tmp_path: Path, env: dict[str, str], own_home: None, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with an empty HOME, another working folder, and files that are not the tag's."""
    return set_up(tmp_path, monkeypatch)


def set_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folders of an attack, and go to one of them."""
    for name in ("home", "here", "beside"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "beside/victim").write_text("mine")
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.chdir(folder / "here")
    return folder


def attack(tag: Tag, **options: Any) -> Pulled | FlexlockError:
    """Pull a forged tag; whatever comes of it, outside of its folder nothing changes."""
    before = look(tag.scene, without=tag.scene / "into")
    try:
        return pull(tag.name, **{"source": str(tag.origin), "into": tag.scene / "into", **options})
    except FlexlockError as error:
        return error
    finally:
        assert look(tag.scene, without=tag.scene / "into") == before


def refused(found: Pulled | FlexlockError, said: str) -> None:
    """It ended with 2 and a line that says why."""
    assert isinstance(found, FlexlockError), found
    assert found.exit_code == 2
    assert said in str(found)
    assert "\n" not in str(found) or isinstance(found, GitError), "more than a line"


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


SOURCES = {
    "a command": "ext::sh -c ./payload",
    "a program": "ext::./payload",
    "a descriptor": "fd::17",
    "a helper": "payload::x",
    "an option": "--upload-pack=./payload",
    "a short option": "-u./payload",
    "an ssh option": "-oProxyCommand=./payload",
    "an ssh option as a host": "ssh://-oProxyCommand=./payload/x",
    "an ssh option as a host with a port": "ssh://-oProxyCommand=./payload:22/x",
    "an ssh option behind a user": "x@-oProxyCommand=./payload:x",
}


@pytest.mark.parametrize("worktree", [False, True], ids=["clone", "worktree"])
@pytest.mark.parametrize("source", [pytest.param(url, id=name) for name, url in SOURCES.items()])
def test_no_url_runs_a_program(
    base: Base, scene: Path, monkeypatch: pytest.MonkeyPatch, source: str, worktree: bool
) -> None:
    """A git URL that would start a program, or is an option, is refused."""
    tag = base.at(scene).push()
    for name in ("payload", "git-remote-payload"):
        (scene / "here" / name).write_text(f"#!/bin/sh\n{tag.payload}\n")
        (scene / "here" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{scene}/here{os.pathsep}{os.environ['PATH']}")
    if worktree:
        subprocess.run(["git", "init", "-q"], check=True)
    found = attack(tag, source=source, worktree=worktree)
    assert isinstance(found, GitError), found
    assert not (scene / "into").exists()


@pytest.mark.parametrize("forge", [
    pytest.param(lambda tag: tag.out("../x"), id="path"),
    pytest.param(lambda tag: tag.put(".dvc/config.local", "x"), id="tree"),
    pytest.param(lambda tag: tag.raw_lock(b""), id="lock"),
])
@pytest.mark.parametrize("worktree", [False, True], ids=["into", "worktree"])
def test_a_repository_in_use_keeps_nothing_of_it(
    base: Base, scene: Path, env: dict[str, str], forge: Forge, worktree: bool
) -> None:
    """Refused in a repository of the user's, no tag, branch, worktree or file of it stays."""
    mine = Project(scene / "here", env)
    mine.write("mine.txt", "1")
    mine.git("init", "-q")
    mine.commit()
    tag = forge(base.at(scene)).push()

    def state() -> list[object]:
        git = [mine.git(*words.split()) for words in ("for-each-ref", "worktree list", "status")]
        files = look(mine.root, without=mine.path(".git"))
        return [*git, {path: what[:2] for path, what in files.items()}]

    before = state()
    goal = scene / "into" if worktree else mine.root
    with pytest.raises(FlexlockError):
        pull(tag.name, source=str(tag.origin), into=goal, worktree=worktree)
    assert state() == before
    assert not (scene / "into").exists()


def test_a_users_own_link_is_not_written_through(
    base: Base, scene: Path, env: dict[str, str]
) -> None:
    """Data for a folder that is a link in the user's repository does not follow it."""
    mine = Project(scene / "into", env)
    mine.write(".gitignore", "data\n")
    mine.git("init", "-q")
    mine.commit()
    mine.path("data").symlink_to("../beside")
    refused(attack(base.at(scene).push()), "is not what it should be")
    assert mine.git("status", "--short", "--branch").count("\n") == 0


def test_an_empty_folder_behind_a_link_stays_empty(base: Base, scene: Path) -> None:
    """What was begun behind ``--into`` is taken away again when that is a link, too."""
    (scene / "empty").mkdir()
    (scene / "ln").symlink_to("empty")
    tag = base.at(scene).out("../x").push()
    refused(_pulled(tag, into=scene / "ln"), NOT_SAFE)
    assert os.readlink(scene / "ln") == "empty" and os.listdir(scene / "empty") == []
    refused(_pulled(tag, into=scene / "new/deep/er"), NOT_SAFE)
    assert not (scene / "new").exists()


def _pulled(tag: Tag, **options: Any) -> Pulled | FlexlockError:
    try:
        return pull(tag.name, source=str(tag.origin), **options)
    except FlexlockError as error:
        return error


def test_a_config_of_the_tag_is_never_believed(base: Base, scene: Path) -> None:
    """A second pull, with the tag's config checked out, would run its commands: no first one."""
    tag = base.at(scene)
    tag = tag.put("aws", f"[default]\ncredential_process = sh -c '{tag.payload}'\n").config(
        "[core]\n    remote = flexlock\n    analytics = false\n['remote \"flexlock\"']\n"
        "    url = s3://bucket/x\n    endpointurl = http://127.0.0.1:9\n    configpath = ../aws\n"
    )
    tag.push()
    for data in (False, True):
        refused(attack(tag, data=data), MORE_CONFIG)


@pytest.mark.parametrize(("url", "options"), [
    ("s3://bucket/x", {"endpointurl": "https://mine.example.org", "access_key_id": "me"}),
    ("s3://bucket-2/x", {"endpointurl": "https://evil.example.org"}),
    ("s3://other/bucket/x", {"endpointurl": "https://evil.example.org"}),
])
def test_the_users_own_server_wins(
    scene: Path, env: dict[str, str], url: str, options: dict[str, str]
) -> None:
    """A tag that names another server for a bucket of the user's does not get the keys there."""
    mine = Project(scene / "here", env)
    mine.git("init", "-q")
    mine.write(".dvc/config", "['remote \"mine\"']\n    url = s3://bucket\n"
               "    endpointurl = https://mine.example.org\n")
    mine.write(".dvc/config.local", "['remote \"mine\"']\n    access_key_id = me\n")
    repo = GitRepo.find(mine.root)
    assert repo is not None
    spec = RemoteSpec(url, {"endpointurl": "https://evil.example.org"})
    found = with_settings(spec, repo).options
    assert {key: found.get(key) for key in ("endpointurl", "access_key_id")} == {
        "access_key_id": None, **options,
    }


def test_another_server_gets_no_token(base: Base, scene: Path) -> None:
    """A tag that names a server for Google's store does not get the user's login there."""
    other = "endpointurl = http://127.0.0.1:9"
    for said, anonymous in ((other, "true"), ("projectname = x", None)):
        tag = option(said)(remote("gs://bucket/x")(base.at(scene / said[0]))).push()
        found = read_tagged(GitRepo(tag.origin, tag.origin), tag.name).remote
        assert found.options.get("allow_anonymous_login") == anonymous


def test_changes_in_a_repository_inside_stay(
    base: Base, scene: Path, env: dict[str, str]
) -> None:
    """Work in a repository of the user's, where the tag has one, is not overwritten."""
    mine = Project(scene / "into", env)
    mine.write("mine.txt", "1")
    mine.git("init", "-q")
    mine.commit()
    inner = Project(mine.path("sub"), env)
    inner.write("code.py", "x = 1\n")
    inner.git("init", "-q")
    inner.commit()
    inner.write("code.py", "mine\n")
    tag = base.at(scene).repository("sub", **{"code.py": "x = 2\n"}).push()
    refused(attack(tag), "other files where the tag has data: sub")
    assert inner.path("code.py").read_text() == "mine\n"
    inner.git("checkout", "-q", ".")
    assert isinstance(attack(tag), Pulled)
    assert inner.path("code.py").read_text() == "x = 2\n"


def swap(place: Path, to: Path) -> None:
    """A link in the place of a folder, which goes aside."""
    place.rename(place.with_name(f"{place.name}-aside"))
    place.symlink_to(to)


MANY = {f"{n:03d}": b"%d" % n for n in range(256)}
"""As many files as are written between two reports."""


def test_a_folder_that_becomes_a_link_between_two_files(base: Base, scene: Path) -> None:
    """A link that takes the place of a folder of the code while data comes is not followed."""
    tag = base.at(scene).folder("a", MANY).folder("conf", {"victim": b"y"}).push()

    def progress(done: int, total: int) -> None:
        if not (scene / "into/conf").is_symlink():
            swap(scene / "into/conf", scene / "beside")

    found = attack(tag, progress=progress)
    refused(found, "into/conf/victim is not what it should be")
    assert isinstance(found, TargetError)


def test_an_open_folder_that_becomes_a_link(base: Base, scene: Path) -> None:
    """The rest of a folder's files goes where the first ones went, not where a link leads."""
    tag = base.at(scene).folder("a", {**MANY, "more": b"y"}).push()

    def progress(done: int, total: int) -> None:
        if not (scene / "into/a").is_symlink():
            swap(scene / "into/a", scene / "beside")

    attack(tag, progress=progress)
    assert (scene / "into/a-aside/more").read_bytes() == b"y"


def test_folders_that_become_links_at_any_moment(base: Base, scene: Path) -> None:
    """Whoever swaps folders for links and back all the time gets no file of a pull outside."""
    files = {f"{n % 40}/{n}": b"%d" % n for n in range(400)}
    tag = base.at(scene).folder("a", files).push()
    ended = threading.Event()
    swaps = 0

    def attacker() -> None:
        nonlocal swaps
        while not ended.is_set():
            for n in range(40):
                place = scene / f"into/a/{n}"
                with contextlib.suppress(OSError):
                    swap(place, scene / "beside")
                    swaps += 1
                    place.unlink()
                    place.with_name(f"{n}-aside").rename(place)

    thread = threading.Thread(target=attacker)
    thread.start()
    try:
        attack(tag)
    finally:
        ended.set()
        thread.join()
    assert swaps


def test_no_hard_link_of_a_link(base: Base, scene: Path) -> None:
    """An object that is a link on the data remote comes as a file of its own."""
    oid = hashlib.md5(b"mine").hexdigest()

    def lead_out(tag: Tag) -> None:
        place = tag.store / "files/md5" / oid[:2] / oid[2:]
        place.unlink()
        place.symlink_to(tag.scene / "beside/victim")

    assert isinstance(
        attack(base.at(scene).out("q", b"mine").then(lead_out).push(), link="hardlink"), Pulled
    )
    assert is_file("q", b"mine")(scene / "into")
    assert (scene / "into/data/table.csv").stat().st_nlink == 2


def test_what_was_pushed_comes_back(base: Base, scene: Path) -> None:
    """The tag that all forgeries begin with is fine, and so is one that says all of it anew."""
    said_anew = base.at(scene).raw_lock(base.tree[LOCK].content + b"# more\n").out("q").folder(
        "d", {"a": b"y", "b/c": b"z"}
    )
    for name, tag in (("one", base.at(scene / "one")), ("two", replace(said_anew, scene=scene))):
        pulled = attack(tag.push())
        assert isinstance(pulled, Pulled) and pulled.missing == (), name


# Forged at random

HOSTILE = [
    *PATHS.values(), "\ud800", "q", "data", "data/set", "data/set/a.txt", "app.py", "outputs/a",
    "~/x", "ab:c", "sub", ".flexlock/fsroot/x", ".flexlock/runs/x", NULL_MD5, f"{NULL_MD5}.dir",
    "-x", "--upload-pack=x", "20990101T000000Z-00000000", "a\n", "\x1b[31m", "x" * 5000,
    "../../../beside/victim", "[", "!!python/name:os.system", "%(x)s", "{}",
]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from([None, True, False, 0, 1, -1, 2**31, 2**70, 1.5, float("nan"), [], {}, [[]]]),
    st.text(max_size=5),
)
PARTS = (
    "out", "listing", "lock", "repository", "tree", "link", "config", "object", "metafile",
    "manifest",
)
"""What can be forged, in the order in which it is: what one reads, none before it breaks."""
UNFIT = (LookupError, TypeError, AttributeError, ArithmeticError, ValueError, StopIteration)
"""What says that two changes do not go together."""
CHANGES = st.lists(
    st.tuples(st.sampled_from(PARTS), st.integers(0, 10_000), st.integers(0, 3), VALUES),
    min_size=1,
    max_size=3,
)


def spots(plain: Any) -> list[tuple[Any, Any]]:
    """Every item of every list and mapping: what holds it, and its key."""
    pairs = [*plain.items()] if isinstance(plain, dict) else [*enumerate(plain)]
    found = [(plain, key) for key, _ in pairs]
    for _, item in pairs:
        found += spots(item) if isinstance(item, (dict, list)) else []
    return found


def change(plain: Any, spot: int, how: int, value: Any) -> None:
    """One item becomes another, or another key's, or goes, or comes twice."""
    holder, key = (found := spots(plain))[spot % len(found)]
    if how == 0:
        holder[key] = value
    elif how == 1:
        del holder[key]
    elif isinstance(holder, dict):
        holder[str(value)] = holder[key] if how == 2 else value
    else:
        holder.insert(0, holder[key] if how == 2 else value)


def changed(tag: Tag, part: str, spot: int, how: int, value: Any) -> Tag:
    """A tag with one part forged; what must agree with that part does."""
    outs = tag.manifest["outs"]
    folders = [item for item in outs if item["md5"].endswith(".dir")]
    text = value if isinstance(value, str) else json.dumps(value)
    raw = text.encode("utf-8", "replace").replace(b"\0", b"").decode()[:300]
    if part == "out":
        old = outs[spot % len(outs)]
        return tag.other_out(old, {**old, ("path", "md5", "size", "nfiles")[how]: value})
    if part == "listing":
        old = folders[spot % len(folders)]
        change(entries := json.loads(tag.objects[old["md5"]]), spot, how, value)
        return tag.relisted(old, json.dumps(entries).encode(), nfiles=len(entries), size=1 << 40)
    if part == "object":
        return replace(tag, objects={**tag.objects, sorted(tag.objects)[spot % 8]: text.encode(
            "utf-8", "replace"
        )})
    if part == "repository":
        return tag.repository(text, raw if how == 3 else "other")
    if part == "tree":
        return tag.put(raw, raw, (FILE, EXECUTABLE, LINK, "100777")[how])
    if part == "link":
        return tag.link(("data", "data/set/new", "sub", raw)[how], raw)
    if part == "config":
        return tag.option(raw.replace("{", "").replace("}", ""))
    if part == "lock":
        return tag.locked(lambda lock: change(lock, spot, how, value))
    if part == "metafile":
        path = f"{METAFILES}/000{spot % len(outs)}.dvc"
        change(plain := yaml.safe_load(tag.tree[path].content), spot, how, value)
        return tag.put(path, json.dumps(plain))
    return tag.edited(lambda manifest: change(manifest, spot, how, value))


@settings(
    max_examples=100,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[*HealthCheck],
)
@given(changes=CHANGES)
def test_whatever_is_forged(
    base: Base, tmp_path: Path, own_home: None, changes: list[tuple[str, int, int, Any]]
) -> None:
    """It is pulled, or refused with an error of ours; nothing gets outside, no link leads there."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(dir=tmp_path) as folder:
        scene = set_up(Path(folder), patch)
        tag = base.at(scene)
        for each_change in sorted(changes, key=lambda it: PARTS.index(it[0])):
            try:
                tag = changed(tag, *each_change)
            except UNFIT:
                reject()
        found = attack(tag.push())
        assert isinstance(found, Pulled) or found.exit_code == 2
        if (scene / "into").exists():
            own = {str(scene / "into" / path) for path in tag.tree}
            assert {*leading_out(scene / "into")} <= own
            hooks = (scene / "into/.git/hooks").iterdir()
            assert all(hook.suffix == ".sample" for hook in hooks)
