# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# ENV and ARG: forms of expansion, scopes, predefined arguments.

alike "forms of expansion" '' <<'D'
FROM box
ENV A=abc E=
ENV B=${A:-n} C=${N:-n} D=${A:+p} F=${N:+p} G=${E:-e} H=${E:+p}
ENV I=$A$A J="$A x" K='$A x' L=\$A M="\$A" N=${A}b O=a\ b P="a\"b"
ENV Q=${N2:-${A}} R=${N2:-$A-$E}
LABEL l=$A "m n"="$A n" o='$A'
D

alike "a variable's value is the one from before the instruction" '' <<'D'
FROM box
ENV A=1
ENV A=2 B=$A
ENV A=$A$A
ENV C=$A
D

alike "ENV in the old form" '' <<'D'
FROM box
ENV A some words  with   blanks
ENV B "quoted"
ENV C a=b c=d
ENV D \
  on the next line
D

alike "where variables have values" 'mkdir d; echo x >d/x; echo y >y' <<'D'
FROM box
ENV DIR=/var/dir FILE=y PORT=80 WHO=alice SIG=SIGUSR1 NUM=5
COPY $FILE ${DIR}/
COPY --chown=$WHO d /d
ADD ${FILE} /z
WORKDIR $DIR
EXPOSE $PORT ${PORT}80/udp
USER $WHO
VOLUME $DIR/vol
STOPSIGNAL $SIG
LABEL where=$DIR
CMD echo $DIR
ENTRYPOINT ["echo", "$DIR"]
D

alike "what an argument is in steps, and what not in the image" '' --build-arg V=given --build-arg W=w <<'D'
ARG G=global
FROM box
ARG V=default
ARG W
ARG X=other
ARG N
RUN echo "$V-$W-$X-${N-unset}-${G-unset}" >/v
ARG G
RUN echo "$G" >/g
ENV V=$V-env
RUN echo "$V" >/w
D

alike "ENV goes before ARG, earlier and later" '' --build-arg V=given <<'D'
FROM box
ENV V=env
ARG V=arg
RUN echo $V >/one
ARG W=arg
ENV W=env
RUN echo $W >/two
LABEL v=$V w=$W
D

alike "arguments before FROM, with others in them" '' --build-arg TAG=latest <<'D'
ARG NAME=bo
ARG FULL=${NAME}x
ARG TAG=none
FROM ${FULL}:${TAG} AS one
ARG FULL
ARG NAME=inner
RUN echo $FULL $NAME ${TAG-unset} >/o
FROM ${FULL}
COPY --from=one /o /o
D

# buildah gives a stage none of the arguments of the one that it begins with; Docker does, as build_e2e.sh has it.
alike "an argument belongs to its stage" '' <<'D'
FROM box AS one
ARG A=1
ENV E=$A
RUN echo $A >/a
FROM one AS two
RUN echo ${E-unset} >/b
FROM box
RUN echo ${A-unset} ${E-unset} >/c
COPY --from=two /a /b /
D

alike "an argument's default is of its place" '' <<'D'
FROM box
ARG A=1
ENV E1=$A
ARG A=2
ENV E2=$A
ARG B=$A$A
ENV E3=$B
D

# buildah takes one argument an instruction with what was before it.
gives "an argument sees those before it in its instruction, a variable does not" '' '
config Env ["PATH=/usr/local/bin:/usr/bin:/bin", "V=21-", "W=1", "X="]' <<'D'
FROM box
ARG A=1
ARG B=2$A C=$B-
ENV V=$C W=$A X=$W
D

alike "predefined arguments need no ARG, and are not kept" '' --build-arg HTTP_PROXY=http://proxy.invalid:1 --build-arg no_proxy=a,b <<'D'
FROM box
RUN echo "${HTTP_PROXY-unset} ${no_proxy-unset} ${FTP_PROXY-unset}" >/p
D

alike "platforms as arguments" '' <<'D'
FROM box
ARG TARGETPLATFORM TARGETOS
ARG TARGETARCH
ARG BUILDPLATFORM
RUN echo $TARGETPLATFORM $TARGETOS $TARGETARCH $BUILDPLATFORM ${BUILDOS-unset} >/p
D

alike "quotes and continuations" '' <<'D'
FROM box
ENV A="x\"y" B=c:\\dir C=\$A \
    D=e
# between
RUN echo one \
# in the middle
  two >/o
LABEL a="b \
c"
D

# buildah knows the other escape character at the ends of lines alone.
gives "quotes, escapes and continuations with another escape character" '' '
file /o 644 0:0 "one two\n"
config Env ["PATH=/usr/local/bin:/usr/bin:/bin", "A=x\"y", "B=c:\\dir", "C=$A", "D=e"]
config Labels {"a": "b c"}' <<'D'
# escape=`
FROM box
ENV A="x`"y" B=c:\dir C=`$A `
    D=e
# between
RUN echo one `
# in the middle
  two >/o
LABEL a="b `
c"
D

# buildah puts a variable that is set again at the end.
gives "a variable that is set again keeps its place" '' '
config Env ["PATH=/own:/usr/local/bin:/usr/bin:/bin", "A=3", "B=2"]' <<'D'
FROM box
ENV A=1 B=2
ENV PATH=/own:$PATH A=3
D

alike "an ENV of an image is there in the builds on it" '' <<'D'
FROM box AS one
ENV A=1 PATH=/own:$PATH
FROM one
ENV B=$A
RUN echo $A $B $PATH >/o
D

refused "an argument that must be there" '' 'needed' <<'D'
FROM box
ENV A=${MISSING:?needed}
D
