"""Ways to forge a tag, each with the words that refuse it: a table for each part of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.support.forged import LOCK, METAFILES, NULL_MD5
from tests.support.forging import Forge, bomb, cut, million, set_of
from tests.support.git_forge import EXECUTABLE, LINK, Leaf, annotated
from tests.support.hostile_values import (
    BOMB,
    DIFFERENT,
    NO_MANIFEST,
    NOT_SAFE,
    UNSAFE_OBJECT,
    Cases,
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
