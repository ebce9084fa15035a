# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# What layers say about those below them. buildah makes a layer a step here, as we do.

alike "files and directories that are removed" '' theirs:--layers <<'D'
FROM box
RUN mkdir -p /d/e && echo 1 >/d/a && echo 2 >/d/b && echo 3 >/d/e/c
RUN rm /d/a && rm -rf /d/e /home
RUN rm /etc/group
D

alike "directories that are removed and made again" '' theirs:--layers <<'D'
FROM box
RUN mkdir -p /d/sub && echo 1 >/d/a && echo 2 >/d/sub/b && chmod 700 /d
RUN rm -rf /d && mkdir /d && echo 3 >/d/c
RUN rm -rf /var && mkdir -m 750 /var && touch /var/new
D

alike "directories become files and links, and the reverse" '' theirs:--layers <<'D'
FROM box
RUN mkdir -p /d1/x /d2/x /d3 && echo f >/f1 && echo f >/f2 && ln -s /d3 /l1 && ln -s nowhere /l2 && touch /d1/x/f /d2/x/f
RUN rm -rf /d1 && echo now a file >/d1 && rm -rf /d2 && ln -s d3 /d2
RUN rm /f1 && mkdir -p /f1/sub && touch /f1/sub/g && rm /f2 && mkfifo /f2 && rm /l1 && mkdir /l1 && touch /l1/in && rm /l2 && touch /l2
D

alike "hard links over layers" '' theirs:--layers <<'D'
FROM box
RUN mkdir /h && echo x >/h/a && ln /h/a /h/b && ln /h/a /h/c
RUN ln /h/a /h/late && echo own >/h/single
RUN rm /h/b && ln /h/single /h/single2
RUN chmod 600 /h/c
D

alike "renamed files and directories" '' theirs:--layers <<'D'
FROM box
RUN mkdir -p /r/d/e && echo x >/r/f && echo y >/r/d/e/g
RUN mv /r/f /r/f2 && mv /r/d /r/d2
RUN mv /r /s && mkdir /r
D

alike "a change of modes and owners alone" '' theirs:--layers <<'D'
FROM box
RUN mkdir -p /m/d && echo x >/m/f && echo y >/m/d/g && ln -s f /m/l
RUN chmod 6755 /m/f && chown 1:2 /m/d && chown -h 3:4 /m/l && chmod 1700 /m
RUN chown -R 8:9 /m && touch -d @1000000009 /m/f
D

alike "a file is written to, cut, and made long" '' theirs:--layers <<'D'
FROM box
RUN echo first >/a && echo first >/b && echo first >/c && echo -n same >/d
RUN echo second >>/a && : >/b && truncate -s 100000 /c && echo -n same >/d
D

alike "what was made and removed in one step is nothing" '' theirs:--layers <<'D'
FROM box
RUN touch /t && rm /t && mkdir -p /x/y && rm -rf /x
RUN true
D

alike "a name that looks like a whiteout's beginning" 'mkdir w; echo x >w/.whx; echo y >w/wh.y; echo z >w/x.wh.' theirs:--layers <<'D'
FROM box
COPY w /w
RUN rm /w/wh.y
D

alike "COPY over files that are removed, and back" 'mkdir d; echo x >d/x; echo y >d/y' theirs:--layers <<'D'
FROM box
COPY d /d
RUN rm -r /d
COPY d/x /d/x
RUN mkdir /z && mv /d /z
COPY d /d
D

alike "writes to a volume before and after VOLUME, by COPY" 'mkdir d; echo x >d/x' theirs:--layers <<'D'
FROM box
RUN mkdir /v && echo before >/v/before
VOLUME /v
COPY d /v/d
D

alike "many layers" 'for i in 1 2 3; do echo $i >$i; done' <<'D'
FROM box
COPY 1 /c1
RUN echo 1 >/r1
COPY 2 /c2
RUN echo 2 >/r2 && rm /c1
COPY 3 /c1
RUN echo 3 >/r3 && rm /r1
ENV A=1
RUN echo 4 >/r4
COPY 1 2 3 /r1/
RUN rm /r1/2
WORKDIR /r1
RUN echo 5 >5
D

alike "an image on an image: what is removed from a base that was built" '' theirs:--layers <<'D'
FROM box AS base
RUN mkdir -p /lib/a && touch /lib/a/1 /lib/a/2 /lib/b
FROM base AS middle
RUN rm -r /lib/a && ln -s b /lib/a
FROM middle
RUN rm /lib/a && mkdir /lib/a && echo 3 >/lib/a/3
D
