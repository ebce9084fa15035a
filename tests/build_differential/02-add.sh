# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# ADD: archives that are unpacked, files that are fetched.

archives='mkdir -p in/sub; echo q >in/q; echo r >in/sub/r; ln -s q in/l; ln in/q in/h; chmod 4750 in/q; chmod 1777 in/sub
tar -c --owner=7 --group=8 -f a.tar in; gzip -nk a.tar; xz -k a.tar; bzip2 -k a.tar'

alike "ADD unpacks tar, tar.gz, tar.xz, tar.bz2, by what is in them" "$archives; cp a.tar.gz named-otherwise; echo text >not.tar.gz" <<'D'
FROM box
ADD a.tar /t/
ADD a.tar.gz /g/
ADD a.tar.xz /x/
ADD a.tar.bz2 /b/
ADD named-otherwise /n
ADD not.tar.gz /not/
D

alike "ADD unpacks an archive to where no slash is" "$archives" <<'D'
FROM box
WORKDIR /w
ADD a.tar.gz .
ADD a.tar sub/tree
D

alike "COPY does not unpack" "$archives" <<'D'
FROM box
COPY a.tar.gz /t/
D

alike "ADD of directories and files is COPY" 'mkdir -p d/e; echo x >d/e/x; ln -s x d/e/l; echo y >y' <<'D'
FROM box
ADD d /d
ADD y /deep/y
ADD --chown=alice:extra d y /c/
ADD ["y", "/z z"]
D

alike "ADD of an archive over what is there" '
mkdir -p in/d in/l; echo new >in/f; echo new >in/d/g; tar -c -f a.tar in' <<'D'
FROM box
RUN mkdir -p /in/d /in/keep && echo old >/in/f && echo old >/in/d/h && chown -R 3:4 /in
ADD a.tar /
D

alike "an archive with devices, pipes, extended attributes, late directories" '
python3 - <<PY
import tarfile, io
with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as out:
    def add(name, kind, mode=0o644, data=b"", link="", pax={}, dev=(0, 0), owner=(0, 0)):
        m = tarfile.TarInfo(name); m.type, m.mode, m.size, m.linkname = kind, mode, len(data), link
        m.pax_headers, m.mtime = pax, 1000000000
        m.devmajor, m.devminor = dev; m.uid, m.gid = owner
        out.addfile(m, io.BytesIO(data))
    add("d/before/file", tarfile.REGTYPE, data=b"x")
    add("d", tarfile.DIRTYPE, 0o2750, owner=(5, 6))
    add("d/null", tarfile.CHRTYPE, 0o666, dev=(1, 3))
    add("d/disk", tarfile.BLKTYPE, 0o660, dev=(8, 1), owner=(0, 6))
    add("d/pipe", tarfile.FIFOTYPE, 0o600)
    add("d/able", tarfile.REGTYPE, 0o755, b"prog", pax={"SCHILY.xattr.user.berth": "a value"})
    add("d/same", tarfile.LNKTYPE, 0o755, link="d/able")
    add("d/big-ids", tarfile.REGTYPE, data=b"y", owner=(3000000, 4000000))
    add("d/" + "l" * 200, tarfile.SYMTYPE, 0o777, link="../" * 50 + "t")
PY' <<'D'
FROM box
ADD a.tar /a/
D

alike "ADD of a URL: name, mode, times" '' --build-arg "URL=$www" <<'D'
FROM box
ARG URL
ADD $URL/f.txt /as-named
ADD $URL/f.txt /in/directory/
ADD --chown=alice:extra $URL/f.txt /owned/
D

alike "ADD does not unpack what it has fetched" '' --build-arg "URL=$www" <<'D'
FROM box
ARG URL
ADD $URL/a.tar.gz /t/
D

refused "ADD of a URL that is not there" '' '404' --build-arg "URL=$www" <<'D'
FROM box
ARG URL
ADD $URL/missing /t/
D
