"""Tags that somebody forged: each part of a real one replaced by another, and pushed."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import APP, CONFIG, Project
from tests.support.environ import clean_env
from tests.support.git_forge import FILE, FOLDER, LINK, Leaf, Objects, Wrap, annotated

METAFILES = ".flexlock/data"
LOCK = "outputs/a/run.lock"
NULL_MD5 = "0" * 32
_OUTPUTS = "outputs/a"

Plain = dict[str, Any]


@dataclass(frozen=True)
class Tag:
    """A tag that is not pushed yet: what its tree, its message and its data remote hold.

    Every method gives another tag; what none of them changed is as a push made it.
    """

    scene: Path
    """The folder of one attack: ``origin.git``, ``store``, ``into``, and what must not change."""
    name: str
    code: str
    alternates: Path
    manifest: Any
    tree: Mapping[str, Leaf]
    objects: Mapping[str, bytes]
    """Object id -> bytes, on the data remote."""
    parents: tuple[Mapping[str, Leaf], ...] = ()
    entries: tuple[tuple[str, bytes, bytes], ...] = ()
    """Further entries of the tree's root as they are: ``(mode, name, content or id)``."""
    message: bytes | None = None
    wrap: Wrap | None = None
    after: tuple[Callable[[Tag], object], ...] = field(default=())
    """What is done when everything lies on the remotes."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.name.rpartition("/")[2]

    @property
    def store(self) -> Path:
        """The data remote."""
        return self.scene / "store"

    @property
    def origin(self) -> Path:
        """The git remote."""
        return self.scene / "origin.git"

    @property
    def payload(self) -> str:
        """A command whose run is seen: it leaves a file outside of the target."""
        return f"touch {self.scene}/PWNED"

    # The tree

    def put(self, path: str, content: str | bytes = b"", mode: str = FILE) -> Tag:
        """A leaf in its tree."""
        raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        return replace(self, tree={**self.tree, path: Leaf(mode, raw)})

    def without(self, *tops: str) -> Tag:
        """A tree that lacks leaves, and folders with all that is in them."""
        kept = {
            path: leaf
            for path, leaf in self.tree.items()
            if not any(path == top or path.startswith(f"{top}/") for top in tops)
        }
        return replace(self, tree=kept)

    def link(self, path: str, to: str | Path) -> Tag:
        """A link in its tree."""
        return self.put(path, str(to), LINK)

    def entry(self, name: bytes, content: bytes = b"", mode: str = FILE) -> Tag:
        """An entry of the tree's root whose name is no name, or there twice."""
        return replace(self, entries=(*self.entries, (mode, name, content)))

    def config(self, text: str) -> Tag:
        """Another ``.dvc/config``; ``{store}`` in it is the data remote."""
        return self.put(".dvc/config", text.replace("{store}", str(self.store)))

    def option(self, *lines: str) -> Tag:
        """More lines in the remote's section of ``.dvc/config``."""
        text = self.tree[".dvc/config"].content.decode()
        return self.config(text + "".join(f"    {line}\n" for line in lines))

    # What the tag says

    def said(self, **changes: Any) -> Tag:
        """Other values in its manifest."""
        return replace(self, manifest={**self.manifest, **changes})

    def unsaid(self, name: str) -> Tag:
        """A manifest without a key."""
        return replace(self, manifest={k: v for k, v in self.manifest.items() if k != name})

    def edited(self, edit: Callable[[Any], object]) -> Tag:
        """A manifest that was changed in its depth."""
        manifest = copy.deepcopy(self.manifest)
        edit(manifest)
        return replace(self, manifest=manifest)

    def saying(self, message: str | bytes) -> Tag:
        """Another message."""
        raw = message.encode() if isinstance(message, str) else message
        return replace(self, message=raw)

    # Its data

    def out(self, path: str, content: bytes = b"x", *, claims: int = 0) -> Tag:
        """One more file, alike in metafile, manifest and store; ``claims``: its size by these."""
        md5 = hashlib.md5(content).hexdigest()
        said = {"path": path, "md5": md5, "size": claims or len(content), "nfiles": 1}
        return self._out(said, content)

    def folder(
        self, path: str, files: Mapping[str, bytes] | bytes, *, nfiles: int = 0, size: int = -1
    ) -> Tag:
        """One more folder; ``files`` as bytes is its listing as it lies on the remote."""
        listing = files if isinstance(files, bytes) else listing_of(files)
        contents = {} if isinstance(files, bytes) else files
        total = sum(map(len, contents.values())) if size < 0 else size
        said = {
            "path": path,
            "md5": f"{hashlib.md5(listing).hexdigest()}.dir",
            "size": total,
            "nfiles": nfiles or len(contents) or 1,
        }
        objects = {hashlib.md5(content).hexdigest(): content for content in contents.values()}
        tag = self._out(said, listing)
        return replace(tag, objects={**tag.objects, **objects})

    def piece(self, path: str, name: str = "more") -> Tag:
        """One more input of the run in the manifest, at a path."""
        item = {"run": self.run_id, "name": name, "path": path, "md5": NULL_MD5}
        return self.said(data=[*self.manifest["data"], {**item, "size": 1, "nfiles": 1}])

    def metafile_of(self, out: Plain, **top: Any) -> str:
        """The text of a metafile; what is not given is as in those that a push wrote."""
        plain = yaml.safe_load(self.tree[f"{METAFILES}/0000.dvc"].content)
        own = ("path", "md5", "size", "nfiles", "desc")
        kept = {key: value for key, value in plain["outs"][0].items() if key not in own}
        return json.dumps({**plain, "outs": [{**kept, **out}], **top})

    def metafile(self, text: str | bytes, name: str = "0009.dvc") -> Tag:
        """One more metafile, of which the manifest says nothing."""
        return self.put(f"{METAFILES}/{name}", text)

    def _out(self, said: Plain, content: bytes) -> Tag:
        number = len(self.manifest["outs"])
        nfiles = {"nfiles": said["nfiles"]} if said["md5"].endswith(".dir") else {}
        only = {key: said[key] for key in ("path", "md5", "size")}
        tag = self.metafile(self.metafile_of({**only, **nfiles}), f"{number:04d}.dvc")
        return replace(
            tag.said(outs=[*self.manifest["outs"], said]),
            objects={**self.objects, said["md5"]: content},
        )

    def other_out(self, old: Plain, new: Plain) -> Tag:
        """Another file or folder in the place of one, alike in metafile and manifest."""
        path = next(
            path
            for path, leaf in self.tree.items()
            if path.startswith(METAFILES) and old["md5"].encode() in leaf.content
        )
        dirs = ("nfiles",) if str(new["md5"]).endswith(".dir") else ()
        keys = ("path", "md5", "size", *dirs)
        outs = [new if item is old else item for item in self.manifest["outs"]]
        text = self.metafile_of({key: new[key] for key in keys})
        return self.put(path, text).said(outs=outs)

    def relisted(self, old: Plain, listing: bytes, **new: Any) -> Tag:
        """Another listing of a folder, with its new id in metafile and manifest."""
        md5 = f"{hashlib.md5(listing).hexdigest()}.dir"
        tag = self.other_out(old, {**old, "md5": md5, **new})
        return replace(tag, objects={**self.objects, md5: listing})

    # Its lock

    @property
    def lock(self) -> Plain:
        """The lock as plain data."""
        plain: Plain = yaml.safe_load(self.tree[LOCK].content)
        return plain

    def locked(self, edit: Callable[[Plain], object]) -> Tag:
        """A lock that was changed, alike in the tree and among the outputs."""
        plain = self.lock
        edit(plain)
        return self.raw_lock(yaml.safe_dump(plain, sort_keys=False).encode())

    def raw_lock(self, content: bytes) -> Tag:
        """Any bytes for a lock."""
        out = next(item for item in self.manifest["outs"] if item["path"] == _OUTPUTS)
        listing = json.loads(self.objects[out["md5"]])
        md5 = hashlib.md5(content).hexdigest()
        for item in listing:
            item["md5"] = md5 if item["relpath"] == "run.lock" else item["md5"]
        size = out["size"] + len(content) - len(self.tree[LOCK].content)
        tag = self.relisted(out, json.dumps(listing).encode(), size=size).put(LOCK, content)
        return replace(tag, objects={**tag.objects, md5: content})

    def repository(self, path: str, name: str = "other", **files: str | Leaf) -> Tag:
        """One more repository in the lock, at a path relative to the main one's root."""
        leaves = {
            key.replace("__", "/"): leaf if isinstance(leaf, Leaf) else Leaf(FILE, leaf.encode())
            for key, leaf in (files or {"code.py": "x = 1\n"}).items()
        }
        commit = Objects().commit(Objects().tree(leaves))

        def add(plain: Plain) -> None:
            main = copy.deepcopy(plain["repos"]["main"])
            plain["repos"][name] = {**main, "path": path, "commit": commit}

        return replace(self.locked(add), parents=(*self.parents, leaves))

    # The remotes

    def then(self, do: Callable[[Tag], object]) -> Tag:
        """Something that is done when everything lies on the remotes."""
        return replace(self, after=(*self.after, do))

    def push(self) -> Tag:
        """Write it all to the remotes."""
        folder = self.origin / "objects"
        objects = Objects(folder)
        (self.origin / "refs").mkdir(parents=True)
        (self.origin / "HEAD").write_text("ref: refs/heads/main\n")
        (self.origin / "config").write_text("[core]\n\tbare = true\n")
        (folder / "info").mkdir(parents=True)
        (folder / "info/alternates").write_text(f"{self.alternates}\n")
        parents = [objects.commit(objects.tree(leaves)) for leaves in self.parents]
        more = [
            (mode, name, content.decode() if mode == FOLDER else objects.write("blob", content))
            for mode, name, content in self.entries
        ]
        commit = objects.commit(objects.tree(self.tree, more), self.code, *parents)
        message = self.message
        if message is None:
            message = f"a line\n\n{json.dumps(self.manifest)}\n".encode()
        oid = (self.wrap or annotated(self.name))(objects, commit, message)
        ref = self.origin / "refs/tags" / self.name
        ref.parent.mkdir(parents=True)
        ref.write_text(f"{oid}\n")
        for md5, content in self.objects.items():
            place = self.store / "files/md5" / md5[:2] / md5[2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        for do in self.after:
            do(self)
        return self


def listing_of(files: Mapping[str, bytes]) -> bytes:
    """The listing of a folder by its files."""
    return listing({name: hashlib.md5(content).hexdigest() for name, content in files.items()})


def listing(md5s: Mapping[str, Any]) -> bytes:
    """The listing of a folder by its files' ids."""
    return json.dumps([{"md5": md5, "relpath": name} for name, md5 in md5s.items()]).encode()


@dataclass(frozen=True)
class Base:
    """A run that was really pushed: whatever is forged begins with it."""

    origin: Path
    tag: str
    code: str
    manifest: Plain = field(repr=False)
    tree: Mapping[str, Leaf] = field(repr=False)
    objects: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def make(cls, folder: Path) -> Base:
        """Run a job on a file and on a folder with all kinds of files, and push it."""
        project = Project(folder / "project", clean_env(folder))
        project.write("app.py", APP)
        project.write("conf/config.yaml", f"{CONFIG}set: ${{snapshot:data/set,set}}\n")
        project.write(".gitignore", "outputs/\ndata/\n")
        project.write("data/table.csv", "a,b\n1,2\n")
        project.write("data/set/a.txt", "a")
        project.write("data/set/sub/b.txt", "b")
        project.write("data/set/run.sh", "#!/bin/sh\n").chmod(0o755)
        project.path("data/set/again.txt").symlink_to("a.txt")
        project.path("data/set/none").mkdir()
        project.git("init", "-q", "-b", "main")
        project.commit("first")
        origin, store = folder / "origin.git", folder / "store"
        project.git("init", "-q", "--bare", str(origin))
        project.git("remote", "add", "origin", str(origin))
        project.app(f"hydra.run.dir={_OUTPUTS}")
        pushed = project.flexlock("push", _OUTPUTS, "--remote", store, "--json").json
        tag, commit = pushed["tag"], pushed["commit"]
        _, _, message = project.git("cat-file", "tag", tag).partition("\n\n")
        tree = {}
        for line in project.git("ls-tree", "-r", commit).splitlines():
            mode, _, oid, path = line.split(None, 3)
            raw = zlib.decompress((origin / "objects" / oid[:2] / oid[2:]).read_bytes())
            tree[path] = Leaf(mode, raw.partition(b"\0")[2])
        top = store / "files/md5"
        return cls(
            origin,
            tag,
            project.git("rev-parse", f"{commit}^1"),
            json.loads(message.partition("\n\n")[2]),
            tree,
            {f"{p.parent.name}{p.name}": p.read_bytes() for p in top.rglob("*") if p.is_file()},
        )

    def at(self, scene: Path) -> Tag:
        """The tag as it was pushed, with its remotes in the folder of an attack."""
        tag = Tag(
            scene,
            self.tag,
            self.code,
            self.origin / "objects",
            {**self.manifest, "remote": str(scene / "store")},
            self.tree,
            self.objects,
        )
        config = self.tree[".dvc/config"].content.decode()
        return tag.config(config.replace(str(self.manifest["remote"]), "{store}"))


def look(root: Path, *, without: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder with what would tell of a write; one folder below it aside."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if Path(folder, name) != without]
        for name in (*names, *files):
            place = os.path.join(folder, name)
            info = os.lstat(place)
            what: object = info.st_ino
            if stat.S_ISLNK(info.st_mode):
                what = os.readlink(place)
            times = () if stat.S_ISDIR(info.st_mode) else (info.st_size, info.st_mtime_ns)
            found[place] = (info.st_mode, what, *times)
    return found
