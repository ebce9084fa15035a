# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# What Docker's format has and Debian 12's buildah (1.28) has not: here-documents, --link, --parents, --exclude, modes in letters,
# checksums, triggers that are not only kept, times by SOURCE_DATE_EPOCH. The manifests are by Docker's reference of Dockerfiles.

gives "RUN with a script" '' "
file /a 644 0:0 'one two\n'
file /b 644 0:0 '\$HOME\n'
file /py 644 0:0 '/bin/ash -e\n'
file /tabs 644 0:0 'no tab\n\ttab\n'
file /two 644 0:0 'first\nsecond\n'
file /exit 644 0:0 'still\n'" <<'D'
FROM box
ENV X=two
RUN <<EOF
echo one $X >/a
echo '$HOME' >/b
EOF
RUN <<EOF
#!/bin/ash -e
head -n 1 $0 | cut -c3- >/py
EOF
RUN <<-EOF cat >/tabs
	no tab
	  	tab
	EOF
RUN sed -i 's/^  //' /tabs && cat <<ONE >/two && cat <<"TWO" >>/two
first
ONE
second
TWO
RUN <<EOF
false
echo still >/exit
EOF
D

gives "COPY of here-documents" '' "
file /one 644 0:0 'value two\n\$X \"quoted\" back\\\\slash\n'
file /q 644 0:0 '\$X \\\\\$X\n'
dir /d 755 0:0
file /d/f1 644 0:0 'in f1\n'
file /d/f2 600 0:0 ''
file /mode 4711 1000:1001 'x\n'" <<'D'
FROM box
ENV X=two
COPY <<EOF /one
value $X
\$X "quoted" back\\slash
EOF
COPY <<'EOF' /q
$X \$X
EOF
COPY <<f1 <<f2 /d/
in f1
f1
f2
RUN chmod 600 /d/f2
COPY --chmod=4711 --chown=alice <<end /mode
x
end
D

gives "--link does not follow links, and keeps nothing of what is below" 'echo x >f; mkdir d; echo y >d/y' "
dir /real 755 0:0
dir /over 755 0:0
file /over/y 644 0:0 'y\n'
dir /new 755 0:0
dir /new/deep 755 0:0
file /new/deep/f 644 0:0 'x\n'
file /kept 640 5:6 'x\n'" <<'D'
FROM box
RUN mkdir /real
COPY --link f /new/deep/
COPY --link d /over
COPY --link --chown=5:6 --chmod=640 f /kept
D

gives "--parents keeps the directories of sources, and their modes" 'mkdir -p a/b/c x/y; echo 1 >a/b/c/f; echo 2 >a/b/g; echo 3 >x/y/h; chmod 700 a/b; chmod 711 x' "
dir /all 755 0:0
dir /all/a 755 0:0
dir /all/a/b 700 0:0
dir /all/a/b/c 755 0:0
file /all/a/b/c/f 644 0:0 '1\n'
dir /all/x 711 0:0
dir /all/x/y 755 0:0
file /all/x/y/h 644 0:0 '3\n'
dir /wild 755 0:0
dir /wild/a 755 0:0
dir /wild/a/b 700 0:0
file /wild/a/b/g 644 0:0 '2\n'
dir /pivot 755 0:0
dir /pivot/b 700 0:0
dir /pivot/b/c 755 0:0
file /pivot/b/c/f 644 0:0 '1\n'" <<'D'
FROM box
COPY --parents a/b/c/f x/y /all/
COPY --parents ./*/*/g /wild/
COPY --parents a/./b/c /pivot/
D

gives "--exclude" 'mkdir -p d/sub/deep; for f in a.txt a.md sub/b.txt sub/b.md sub/deep/c.md sub/deep/c.txt; do echo $f >d/$f; done' "
dir /one 755 0:0
file /one/a.txt 644 0:0 'a.txt\n'
dir /one/sub 755 0:0
file /one/sub/b.md 644 0:0 'sub/b.md\n'
file /one/sub/b.txt 644 0:0 'sub/b.txt\n'
dir /one/sub/deep 755 0:0
file /one/sub/deep/c.md 644 0:0 'sub/deep/c.md\n'
file /one/sub/deep/c.txt 644 0:0 'sub/deep/c.txt\n'
dir /two 755 0:0
file /two/a.txt 644 0:0 'a.txt\n'
dir /two/sub 755 0:0
file /two/sub/b.txt 644 0:0 'sub/b.txt\n'" <<'D'
FROM box
COPY --exclude=*.md d /one
COPY --exclude=**/*.md --exclude=sub/deep d /two
D

gives "modes in letters" 'echo x >f; chmod 640 f; mkdir -p d; echo y >d/y; chmod 700 d' "
file /a 750 0:0 'x\n'
file /b 444 0:0 'x\n'
dir /t 755 0:0
dir /t/d 755 0:0
file /t/d/y 644 0:0 'y\n'" <<'D'
FROM box
COPY --chmod=u+x,g+x f /a
COPY --chmod=a=r f /b
COPY --chmod=u=rwX,go=rX . /t/
RUN rm /t/f /t/Dockerfile
D

gives "ADD with a checksum and as an archive from afar" '' "
file /f 600 0:0 'fetched\n'
dir /u 755 0:0
file /u/f.txt 644 0:0 'fetched\n'" --build-arg "URL=$www" --build-arg "SUM=sha256:$(sha256sum <"$work/www/f.txt" | cut -d' ' -f1)" <<'D'
FROM box
ARG URL SUM
ADD --checksum=$SUM $URL/f.txt /f
ADD --unpack $URL/a.tar.gz /u/
D

refused_here "ADD of something with another checksum" '' 'digest|checksum' --build-arg "URL=$www" <<'D'
FROM box
ARG URL
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 $URL/f.txt /f
D

gives "ADD --unpack=false keeps an archive as it is" 'tar -c --mtime=@0 --owner=0 --group=0 -f a.tar --files-from=/dev/null; head -c 1 a.tar >b.tar' "
dir /d 755 0:0
file /d/b.tar 644 0:0 '\x00'" <<'D'
FROM box
ADD --unpack=false b.tar /d/
D

gives "patterns in expansions" '' '
config Env ["PATH=/usr/local/bin:/usr/bin:/bin", "F=/a/b/name.tar.gz", "A=a/b/name.tar.gz", "B=name.tar.gz", "C=/a/b/name.tar", "D=/a/b/name", "E=/a-b/name.tar.gz", "G=-a-b-name.tar.gz", "H=", "I=set", "J="]' <<'D'
FROM box
ENV F=/a/b/name.tar.gz
ENV A=${F#*/} B=${F##*/} C=${F%.*} D=${F%%.*} E=${F/a\//a-} G=${F//\//-}
ENV H=${N-} I=${F+set} J=${N+set}
D

gives "triggers of a base image" 'echo x >f' "
dir /app 755 0:0
file /app/f 644 0:0 'x\n'
file /app/made 644 0:0 'from trigger\n'
file /app/own 644 0:0 'after\n'
config WorkingDir \"/app\"
config OnBuild []
config User \"alice\"" <<'D'
FROM trigger
RUN --mount=target=/c true
USER 0
RUN echo after >own && rm -f Dockerfile
USER alice
D

gives "no time is later than SOURCE_DATE_EPOCH" 'echo x >f' "
dir /made 755 0:0 time=1400000000
file /made/g 644 0:0 'y\n' time=1400000000
file /f 644 0:0 'x\n' time=1000000000
dir /w 755 0:0 time=1400000000
file /own 644 0:0 '' time=1200000000
config WorkingDir \"/w\"" --build-arg SOURCE_DATE_EPOCH=1400000000 <<'D'
FROM box
COPY f /f
RUN mkdir /made && echo y >/made/g
RUN touch -d @1200000000 /own
WORKDIR /w
D

gives "a step without a network, and one with the health of its start" '' "
file /n 644 0:0 'lo\n'
config Healthcheck {\"Test\": [\"CMD\", \"true\"], \"StartInterval\": 2000000000, \"StartPeriod\": 5000000000}" <<'D'
FROM box
RUN --network=none ls /sys/class/net >/n
HEALTHCHECK --start-interval=2s --start-period=5s CMD ["true"]
D

gives "secrets as variables" '' "
file /v 644 0:0 'TOPSECRET unset\n'" --secret "id=key,src=$work/secret" <<'D'
FROM box
RUN --mount=type=secret,id=key,env=KEY a=$(echo $KEY | tr a-z A-Z); env -u KEY sh -c "echo $a \${KEY-unset}" >/v
D

gives "hard links from a stage, an attribute, and a capability" '
python3 - <<PY
import tarfile, io
with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as out:
    m = tarfile.TarInfo("t/able"); m.size, m.mode = 1, 0o755
    cap = b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0".decode("latin-1")
    m.pax_headers = {"SCHILY.xattr.user.berth": "kept", "SCHILY.xattr.security.capability": cap}
    out.addfile(m, io.BytesIO(b"x"))
PY' "
dir /t 755 0:0
file /t/able 755 0:0 'x' xattr security.capability=0x0100000200040000000000000000000000000000 xattr user.berth=kept" <<'D'
FROM box AS one
ADD a.tar /
FROM box
COPY --from=one /t /t
D
