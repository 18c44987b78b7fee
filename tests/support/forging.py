"""Ways to forge a tag, for tables: each takes a tag and gives another one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.support.forged import NULL_MD5, Tag, listing
from tests.support.git_forge import EXECUTABLE, FILE, FOLDER, Objects

# Ways to forge, for tables

Forge = Callable[[Tag], Tag]


def out(path: str) -> Forge:
    """A metafile for a path."""
    return lambda tag: tag.out(path.format(scene=tag.scene))


def file_of(path: str) -> Forge:
    """A listing with a path."""
    return lambda tag: tag.folder("d", listing({path: NULL_MD5}))


def entry(name: bytes) -> Forge:
    """A name in the tree's root."""
    return lambda tag: tag.entry(name)


def modules(text: str) -> Forge:
    """A submodule."""
    return lambda tag: tag.put(".gitmodules", f'[submodule "x"]\n\t{text}\n')


def option(line: str) -> Forge:
    """One more line in the section of the data remote."""
    return lambda tag: tag.option(line.format(payload=tag.payload))


def config(text: str, instead_of: str = "") -> Forge:
    """More text at the end of DVC's config, or in the place of other text."""

    def forge(tag: Tag) -> Tag:
        before, new = tag.tree[".dvc/config"].content.decode(), text.format(scene=tag.scene)
        return tag.config(before.replace(instead_of, new) if instead_of else before + new)

    return forge


def remote(url: str) -> Forge:
    """Another URL of the data remote."""
    return lambda tag: config(url.format(payload=tag.payload), str(tag.store))(tag)


def metafile(top: dict[str, Any], of_out: dict[str, Any]) -> Forge:
    """A metafile with other keys, in the whole or of its out."""
    plain = {"path": "q", "md5": NULL_MD5, "size": 0, **of_out}
    return lambda tag: tag.metafile(tag.metafile_of(plain, **top))


def metafile_as(text: bytes) -> Forge:
    """Any bytes for a metafile."""
    return lambda tag: tag.metafile(text)


def folder(raw: bytes, nfiles: int = 1) -> Forge:
    """Any bytes for a listing."""
    return lambda tag: tag.folder("d", raw, nfiles=nfiles)


def tree_with(**files: str) -> Forge:
    """Files in the tree; ``__`` stands for a slash."""

    def forge(tag: Tag) -> Tag:
        for name, content in files.items():
            text = content.format(payload=tag.payload, scene=tag.scene)
            tag = tag.put(name.replace("__", "/").replace("dot", "."), text, EXECUTABLE)
        return tag

    return forge


def set_of(**changes: Any) -> Callable[[dict[str, Any]], object]:
    """An edit of what a lock says of the folder ``data/set``."""
    return lambda lock: lock["data"]["set"].update(changes)


def cut(size: int) -> Callable[[Tag], object]:
    """The last object of a tag grows to a size, sparse: it takes no room."""

    def grow(tag: Tag) -> None:
        oid = [*tag.objects][-1]
        os.truncate(tag.store / "files/md5" / oid[:2] / oid[2:], size)

    return grow


def million(tag: Tag) -> Tag:
    """A listing of a million files, of one by the tag."""
    item = f'{{"md5": "{NULL_MD5}", "relpath": "f%07d"}}'
    return tag.folder("d", f"[{', '.join(item % n for n in range(1_000_000))}]".encode())


def bomb(tag: Tag) -> Tag:
    """Nine objects that are a hundred million files to whoever lists them all."""

    def grow(objects: Objects) -> str:
        mode, oid = FILE, objects.write("blob", b"x")
        for _ in range(8):
            entries = (f"{mode} {n}\0".encode() + bytes.fromhex(oid) for n in range(10))
            mode, oid = FOLDER, objects.write("tree", b"".join(entries))
        return oid

    return tag.entry(b"bomb", grow(Objects()).encode(), FOLDER).then(
        lambda pushed: grow(Objects(pushed.origin / "objects"))
    )
