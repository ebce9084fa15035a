# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# RUN: forms, shells, users, mounts.

alike "RUN as text and as a list" '' <<'D'
FROM box
RUN echo "$0" $HOME >/text && echo a; echo b >>/text
RUN ["/bin/sh", "-c", "echo $HOME \"quoted\" >/list"]
RUN ["touch", "/a b", "/$HOME"]
RUN [ -e /text ] && echo not a list >/other
RUN    echo   many    blanks   '  kept  ' >/blanks
D

alike "continued lines, comments between" '' <<'D'
FROM box
RUN echo one \
  # a comment
  && echo two >/two \

  && echo three >/three
RUN echo "a\
b" >/joined; printf '%s\n' 'x\n' >/escaped
D

alike "SHELL" '' <<'D'
FROM box
SHELL ["/bin/sh", "-e", "-c"]
RUN echo here >/x; echo "$-" >/flags
SHELL ["/bin/echo", "said"]
RUN anything
SHELL ["/bin/ash", "-uc"]
RUN echo "$0 $-" >/ash
D

# buildah has /bin/sh in any case here.
gives "SHELL is that of CMD and ENTRYPOINT" '' '
config Shell ["/bin/ash", "-uc"]
config Entrypoint ["/bin/ash", "-uc", "and $this"]
config Cmd ["/bin/ash", "-uc", "run this"]
config Healthcheck {"Test": ["CMD-SHELL", "look"]}' <<'D'
FROM box
SHELL ["/bin/ash", "-uc"]
CMD run this
ENTRYPOINT and $this
HEALTHCHECK CMD look
D

alike "USER in steps: name, number, group" '' <<'D'
FROM box
RUN chmod 777 /home
USER alice
RUN id >/home/a && touch /home/af
USER 1000
RUN id >/home/b
USER 1234:5678
RUN id >/home/c && umask >>/home/c
USER alice:extra
RUN id >/home/d
USER nobody
RUN id -u >/home/e
USER 0:1001
RUN id >/home/f
D

alike "WORKDIR: made, relative, with variables" '' <<'D'
FROM box
WORKDIR a
RUN pwd >/1
WORKDIR b/c/
RUN pwd >/2
ENV D=/x/y
WORKDIR $D/z
RUN pwd >/3
WORKDIR ../w
RUN pwd >/4
D

# buildah keeps the path as it was written.
gives "WORKDIR is a clean path" '' '
dir /x 755 0:0
dir /x/r 755 0:0
config WorkingDir "/x/r"' <<'D'
FROM box
WORKDIR /x//./q/../r/
D

# Nothing of what a step has mounted stays, whether or not the image had a place for it. (buildah leaves the places.)
gives "an image without a place for what is mounted" 'echo x >f' "
gone /etc/hostname
gone /etc/hosts
gone /etc/resolv.conf
gone /run
file /made 644 0:0 'x\n'" --secret "id=key,src=$work/secret" <<'D'
FROM plain
RUN --mount=type=secret,id=key --mount=target=/c/on/text,source=f --mount=type=cache,target=/etc/cache --mount=type=tmpfs,target=/var/x/y \
    cat /c/on/text >/made && test -e /run/secrets/key -a -e /etc/hosts -a -e /etc/resolv.conf
D

alike "a mount of the context, read-only" 'mkdir d; echo x >d/x; echo y >y' <<'D'
FROM box
RUN --mount=type=bind,target=/c cat /c/d/x /c/y >/o
RUN --mount=type=bind,source=d,target=/d cp /d/x /p && ! touch /d/new
RUN --mount=source=d,dst=/d,rw touch /d/new
D

alike "a mount of a stage and of an image" '' <<'D'
FROM box AS one
RUN mkdir /s && echo s >/s/f
FROM box
RUN --mount=type=bind,from=one,source=/s,target=/m cp /m/f /g
RUN --mount=from=box,target=/b ls /b/etc >/etc-of-box
D

alike "a temporary file system and a cache: nothing of them stays" '' <<'D'
FROM box
RUN --mount=type=tmpfs,target=/t touch /t/x && stat -f -c %T /t >/kind
RUN --mount=type=cache,target=/cache echo 1 >/cache/f && cp /cache/f /from-cache
RUN --mount=type=cache,target=/cache cat /cache/f >>/from-cache
D

alike "a secret" '' --secret "id=key,src=$work/secret" <<'D'
FROM box
RUN --mount=type=secret,id=key tr a-z A-Z </run/secrets/key >/k && stat -c '%a %u %g' /run/secrets/key >/s
RUN --mount=type=secret,id=key,target=/my/key,mode=444,uid=5,gid=6 stat -c '%a %u %g' /my/key >/t
RUN --mount=type=secret,id=none,target=/none test ! -s /none
D

alike "a step's environment" '' <<'D'
FROM box
ENV A=1 B="two words"
ARG C=3
USER alice
RUN env | grep -vE '^(HOSTNAME|PWD|SHLVL|OLDPWD|container)=' | sort >/tmp/e
RUN echo $HOME >/tmp/h
D

alike "files that a step makes: masks, owners, times" '' <<'D'
FROM box
RUN touch /f && mkdir /d && umask 077 && touch /g && mkdir /e && touch -d @1000000005 /old && chown 11:12 /old
RUN ln -s /f /l && ln /f /h && mkfifo /p && mknod /n c 1 3 && mknod /b b 7 0
D

refused "a step that fails" '' '23' <<'D'
FROM box
RUN exit 23
D

refused "a program that is not there" '' 'no-such-program' <<'D'
FROM box
RUN ["no-such-program"]
D
