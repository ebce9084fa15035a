# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# Several stages: names, numbers, targets, images as sources.

alike "stages by name and by number" 'echo x >f' <<'D'
FROM box AS First
COPY f /f
RUN echo more >>/f && chmod 640 /f && chown 3:4 /f
FROM First AS two
RUN echo two >>/f
FROM box
COPY --from=0 /f /zero
COPY --from=First /f /first
COPY --from=two /f /two
COPY --from=two /etc/passwd /bin/busybox /several/
D

# buildah takes them as they are written.
gives "stages' names in any case" '' "
file /o 644 0:0 '1\n'
file /p 644 0:0 '1\n'" --target LAST <<'D'
FROM box AS First
RUN echo 1 >/o
FROM fIRST AS Last
COPY --from=FIRST /o /p
D

alike "a target in the middle" '' --target middle <<'D'
FROM box AS one
RUN echo 1 >/o
FROM one AS middle
RUN echo 2 >>/o
CMD ["middle"]
FROM box
RUN exit 1
D

alike "a stage that nobody needs is not built" '' <<'D'
FROM box AS unused
RUN exit 1
FROM box
RUN echo ok >/ok
D

alike "COPY from an image keeps owners, modes, links" '' <<'D'
FROM scratch
COPY --from=box /etc /etc
COPY --from=box /bin/busybox /bin/sh /bin/
COPY --from=box /tmp /tmp
COPY --from=box --chown=9:10 /etc/group /g
D

alike "COPY from a stage: set-id, owners, hard links, attributes" '
python3 - <<PY
import tarfile, io
with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as out:
    m = tarfile.TarInfo("t/able"); m.size, m.mode, m.mtime = 1, 0o755, 1000000000
    m.pax_headers = {"SCHILY.xattr.user.berth": "kept"}
    out.addfile(m, io.BytesIO(b"x"))
PY' <<'D'
FROM box AS one
ADD a.tar /
RUN cd /t && echo s >suid && chown 1000:1001 suid && chmod 6755 suid && mkdir -m 1770 sticky && chown 5:6 sticky && \
    echo h >sticky/h1 && ln sticky/h1 sticky/h2 && ln -s ../suid sticky/l && mkfifo pipe && chmod 2711 . && touch -d @1000000001 suid
FROM box
COPY --from=one /t /t
COPY --from=one /t/suid /only
COPY --from=one --chown=7:8 /t /u
D

alike "wildcards and links in a stage" '' <<'D'
FROM box AS one
RUN mkdir -p /d/v1 /d/v2 && echo 1 >/d/v1/x && echo 2 >/d/v2/x && ln -s d/v2 /current && ln -s /d/v1/x /abs
FROM box
COPY --from=one /d/v*/x /x/
COPY --from=one /current/ /c/
COPY --from=one /abs /a
COPY --from=one /d/v? /v/
D

alike "a stage's name hides an image's" '' <<'D'
FROM box AS other
RUN echo stage >/which
FROM other AS box
RUN echo again >>/which
FROM box
COPY --from=other /which /which-other
D

alike "what a stage inherits from another" '' <<'D'
FROM box AS one
RUN mkdir /v
ENV A=1
WORKDIR /w
USER alice
LABEL l=1
EXPOSE 1
ENTRYPOINT ["e"]
CMD ["c"]
HEALTHCHECK CMD true
SHELL ["/bin/sh", "-ec"]
VOLUME /v
FROM one
LABEL m=2
EXPOSE 2
RUN id -u >/tmp/u && pwd >>/tmp/u
D

alike "a context that is an image" '' ours:--build-context=base=docker-image://box theirs:--build-context=base=docker-image://localhost/box:latest <<'D'
FROM base
COPY --from=base /etc/passwd /p
D

gives "scratch: what its images say" 'echo x >f' '
config Env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
config WorkingDir "/"' <<'D'
FROM scratch AS one
ENV A=$PATH
FROM one
COPY --from=box / /
D

alike "scratch: nothing but what is copied" 'echo x >f' <<'D'
FROM scratch
COPY f /
ENTRYPOINT ["/f"]
D

# To buildah a stage that is not there yet is one that is empty.
refused_here "a stage that comes later" '' 'later|not' <<'D'
FROM box
COPY --from=later /x /x
FROM box AS later
FROM box
COPY --from=0 /x /y
D

refused "a target that is not there" '' 'nobody' --target nobody <<'D'
FROM box
D
