#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares images entry by entry: files with all their attributes, and what the configuration says.

    compare.py images OURS.tar THEIRS.tar EXPORT.tar     both as `docker save` writes them
    compare.py manifest OURS.tar BASE.tar EXPORT.tar     what OURS adds to BASE, against the lines on the standard input

EXPORT is a container of ours, as `docker export` writes it: it has to have what the layers of ours come to.

Layers are applied here, by the rules of the OCI's image specification, so that what is compared is what any other engine
would make of the image. Every difference is one line; the exit status is 1 when there is one.

A manifest has a line for each path that differs from the base, in any order:
    dir /d 755 0:0          file /f 644 0:0 'the text'      link /l -> target       gone /g
    same /a /b              (hard links of each other)      config Env ["A=1"]
A file's text is a Python literal; "time=SECONDS" and "xattr NAME=VALUE" may follow, on all
lines if on one. `config` names a field and its JSON.
"""
import ast
import fnmatch
import hashlib
import json
import sys
import tarfile
from dataclasses import dataclass, field

KINDS = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.CONTTYPE: "file", tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link", tarfile.CHRTYPE: "character device", tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "pipe",
}
FIELDS = ["Env", "Entrypoint", "Cmd", "User", "WorkingDir", "ExposedPorts", "Volumes", "Labels", "StopSignal",
          "Shell", "Healthcheck", "OnBuild"]
# Times that came with the input were set long ago (the suite sets them); those of the build itself are not compared.
OLD = 1_600_000_000

# --- where buildah differs on purpose ----------------------------------------------------------------------------
# Each names a place, an attribute and the reason. Nothing else may differ.
EXCEPTIONS = [
    ("/partly/*", {"time"}, "a directory that is ignored and has something in it that is not: buildah makes it anew"),
    ("/run/secrets", {"presence"}, "buildah leaves the places of what it has mounted"),
    ("/my", {"presence"}, "buildah leaves the places of what it has mounted"),
]
LABELS_OF_BUILDAH = {"io.buildah.version"}  # its own mark on everything that it builds


@dataclass(eq=False)  # one inode, however many names it has
class Inode:
    kind: str
    mode: int
    owner: tuple
    time: int
    size: int = 0
    digest: str = ""
    target: str = ""
    device: tuple = ()
    xattrs: dict = field(default_factory=dict)
    text: bytes = b""


def inode_of(tar, member):
    kind = KINDS[member.type]
    inode = Inode(kind, member.mode & 0o7777, (member.uid, member.gid), int(float(member.pax_headers.get("mtime", member.mtime))))
    for name, value in member.pax_headers.items():
        if name.startswith("SCHILY.xattr."):
            inode.xattrs[name[len("SCHILY.xattr."):]] = value.encode("utf-8", "surrogateescape").hex()
    if kind == "file":
        content = tar.extractfile(member).read()
        inode.size, inode.digest, inode.text = len(content), hashlib.sha256(content).hexdigest(), content[:10_000]
    elif kind == "link":
        inode.target = member.linkname
    elif kind.endswith("device"):
        inode.device = (member.devmajor, member.devminor)
    return inode


def below(path):
    return path.rstrip("/") + "/"


def remove(tree, path):
    """A path and all below it, as far as they are from the layers before."""
    for name in [name for name in tree if name == path or name.startswith(below(path))]:
        del tree[name]


def clean(name):
    """A member's name as an absolute path: only "./" and slashes are taken off, so that anything else shows."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts)


def apply_layer(tree, tar):
    # What a layer takes away is what was there before it, wherever in the archive it says so.
    members = [(clean(member.name), member) for member in tar]
    for path, member in members:
        directory, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            root = tree.get(directory or "/")
            remove(tree, directory or "/")
            if root:
                tree[directory or "/"] = root
        elif name.startswith(".wh."):
            remove(tree, directory + "/" + name[4:])
    seen = set()
    for path, member in members:
        if path.rpartition("/")[2].startswith(".wh."):
            continue
        if path in seen:
            print(f"{path} is twice in one layer")
        seen.add(path)
        if member.type == tarfile.LNKTYPE:
            target = tree.get(clean(member.linkname))
            if target is None:
                raise SystemExit(f"{path} is a hard link to {member.linkname}, which is not there")
            remove(tree, path)
            tree[path] = target
            continue
        if member.type != tarfile.DIRTYPE:
            remove(tree, path)
        elif path in tree and tree[path].kind != "dir":
            del tree[path]
        tree[path] = inode_of(tar, member)


def read_image(path):
    tree = {}
    with tarfile.open(path) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        config = json.load(archive.extractfile(manifest["Config"]))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name), errorlevel=2) as layer:
                apply_layer(tree, layer)
    return tree, config.get("config") or {}


def names_of(tree):
    """For each path all names of its inode."""
    groups = {}
    for path, inode in tree.items():
        groups.setdefault(id(inode), []).append(path)
    return {path: sorted(groups[id(inode)]) for path, inode in tree.items()}


def attributes(inode, names):
    values = {"kind": inode.kind, "owner": inode.owner, "xattrs": inode.xattrs, "names": names}
    if inode.kind != "link":
        values["mode"] = oct(inode.mode)
    for name in ("size", "digest", "target", "device"):
        values[name] = getattr(inode, name)
    return values


def excepted(path, what):
    return any(fnmatch.fnmatchcase(path, pattern) and what in attributes for pattern, attributes, _ in EXCEPTIONS)


def compare_trees(ours, theirs, exceptions=True):
    found = []
    if "/" not in ours or "/" not in theirs:  # an archive may leave the root out
        ours, theirs = ({path: inode for path, inode in tree.items() if path != "/"} for tree in (ours, theirs))
    our_names, their_names = names_of(ours), names_of(theirs)
    for path in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(path), theirs.get(path)
        if one is None or other is None:
            if not (exceptions and excepted(path, "presence")):
                found.append(f"{path} is only in {'theirs' if one is None else 'ours'}")
            continue
        left, right = attributes(one, our_names[path]), attributes(other, their_names[path])
        if one.time < OLD or other.time < OLD:
            left["time"], right["time"] = one.time, other.time
        for what, value in left.items():
            if value != right[what] and not (exceptions and excepted(path, what)):
                found.append(f"{path}: {what} is {value} in ours, {right[what]} in theirs")
    return found


def plain(config):
    """A field that is empty and one that is not there say the same."""
    values = {name: config.get(name) or None for name in FIELDS}
    labels = {name: value for name, value in (values["Labels"] or {}).items() if name not in LABELS_OF_BUILDAH}
    values["Labels"] = labels or None
    # buildah moves a variable that is set again to the end. A case with a manifest holds our order.
    values["Env"] = sorted(values["Env"] or [])
    # BuildKit's images from scratch have "/" here, buildah's nothing: they mean the same.
    values["WorkingDir"] = values["WorkingDir"] or "/"
    return values


def compare_configs(ours, theirs):
    ours, theirs = plain(ours), plain(theirs)
    return [f"config {name}: {json.dumps(ours[name])} in ours, {json.dumps(theirs[name])} in theirs"
            for name in FIELDS if ours[name] != theirs[name]]


# --- manifests ---------------------------------------------------------------------------------------------------

def readable(value):
    text = bytes.fromhex(value)
    return text.decode() if text.isascii() and text.decode().isprintable() else "0x" + value


def line_of(path, inode, timed, extended):
    if inode.kind == "link":
        return f"link {path} -> {inode.target}" + ("" if inode.owner == (0, 0) else f" {inode.owner[0]}:{inode.owner[1]}")
    words = [inode.kind, path, f"{inode.mode:o}", f"{inode.owner[0]}:{inode.owner[1]}"]
    if inode.kind == "file":
        words.append(repr(inode.text.decode("utf-8", "surrogateescape")))
    if timed:
        words.append(f"time={inode.time}")
    if extended:
        words += [f"xattr {name}={readable(value)}" for name, value in sorted(inode.xattrs.items())]
    return " ".join(words)


def normal(line):
    """A file's text may be written with either quote."""
    for quote in "'\"":
        begin, end = line.find(quote), line.rfind(quote)
        if line.startswith("file ") and 0 <= begin < end:
            return line[:begin] + repr(ast.literal_eval(line[begin:end + 1])) + line[end + 1:]
    return line


def compare_manifest(image, base, lines):
    (tree, config), (old, _) = image, base
    wanted = {normal(line) for line in lines if not line.startswith("config ")}
    timed, extended = any(" time=" in line for line in wanted), any(" xattr " in line for line in wanted)
    names, old_names = names_of(tree), names_of(old)
    got = {f"gone {path}" for path in old if path not in tree}
    for path, inode in tree.items():
        if path not in old or attributes(inode, names[path]) != attributes(old[path], old_names[path]):
            got.add(line_of(path, inode, timed, extended))
            if len(names[path]) > 1:
                got.add("same " + " ".join(names[path]))
    found = [f"wanted, and not there: {line}" for line in sorted(wanted - got)]
    found += [f"there, and not wanted: {line}" for line in sorted(got - wanted)]
    for line in lines:
        if line.startswith("config "):
            _, name, value = line.split(" ", 2)
            if (config.get(name) or None) != (json.loads(value) or None):
                found.append(f"config {name}: wanted {value}, got {json.dumps(config.get(name))}")
    return found


def read_export(path):
    tree = {}
    with tarfile.open(path) as archive:
        apply_layer(tree, archive)
    return tree


def main():
    what, first, second, exported = sys.argv[1:5]
    ours, our_config = read_image(first)
    if what == "images":
        theirs, their_config = read_image(second)
        found = compare_trees(ours, theirs) + compare_configs(our_config, their_config)
    else:
        lines = [line.strip() for line in sys.stdin if line.strip()]
        found = compare_manifest((ours, our_config), read_image(second), lines)
    found += ["export: " + line for line in compare_trees(ours, read_export(exported), exceptions=False)]
    print("\n".join(found[:40]))
    sys.exit(1 if found else 0)


main()
