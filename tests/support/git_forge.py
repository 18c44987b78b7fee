"""Objects of git and their ids, written without git: whatever a tag may say, one can say it."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

FILE, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
FOLDER = "40000"
_WHO = "A <a@example.org> 1790000000 +0000"


class Leaf(NamedTuple):
    """A file, a link or a submodule of a tree."""

    mode: str
    content: bytes


@dataclass(frozen=True)
class Objects:
    """The folder of a git repository's objects; nothing that is written is looked at."""

    folder: Path | None = None
    """None: only the ids are wanted."""

    def write(self, kind: str, content: bytes) -> str:
        """Store an object; its id."""
        raw = b"%s %d\0%s" % (kind.encode(), len(content), content)
        oid = hashlib.sha1(raw).hexdigest()
        if self.folder is not None:
            place = self.folder / oid[:2] / oid[2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(zlib.compress(raw, 1))
        return oid

    def tree(self, leaves: Mapping[str, Leaf], more: Sequence[tuple[str, bytes, str]] = ()) -> str:
        """A tree by the paths of its leaves; names like ``..`` become entries as they are.

        ``more``: further entries of its root, ``(mode, name, object id)``.
        """
        folders: dict[str, dict[str, Leaf]] = {}
        entries = [*more]
        for path, leaf in leaves.items():
            name, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(name, {})[rest] = leaf
            else:
                oid = (
                    leaf.content.decode()
                    if leaf.mode == SUBMODULE
                    else self.write("blob", leaf.content)
                )
                entries.append((leaf.mode, os.fsencode(name), oid))
        entries += [(FOLDER, os.fsencode(k), self.tree(below)) for k, below in folders.items()]
        entries.sort(key=lambda entry: entry[1] + (b"/" if entry[0] == FOLDER else b""))
        return self.write(
            "tree",
            b"".join(
                b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(oid))
                for mode, name, oid in entries
            ),
        )

    def commit(self, tree: str, *parents: str) -> str:
        """A commit."""
        lines = [f"tree {tree}", *(f"parent {each}" for each in parents)]
        lines += [f"author {_WHO}", f"committer {_WHO}", "", "forged\n"]
        return self.write("commit", "\n".join(lines).encode())


Wrap = Callable[[Objects, str, bytes], str]
"""How a commit and a message become what the tag's ref names."""


def annotated(name: str, kind: str = "commit") -> Wrap:
    """A tag object, as git makes it."""

    def wrap(objects: Objects, oid: str, message: bytes) -> str:
        head = f"object {oid}\ntype {kind}\ntag {name}\ntagger {_WHO}\n\n"
        return objects.write("tag", head.encode() + message)

    return wrap
