# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# Instructions that change what the image says, and nothing else.

alike "CMD and ENTRYPOINT in both forms" '' <<'D'
FROM box
CMD ["a", "b c", "d\"e"]
ENTRYPOINT echo $HOME && true
D

alike "the last CMD counts, and ENTRYPOINT takes back the one of the base" '' <<'D'
FROM box AS one
CMD ["of the base"]
FROM one
CMD first
CMD second
FROM one
ENTRYPOINT ["own"]
D

alike "CMD after ENTRYPOINT" '' <<'D'
FROM box
ENTRYPOINT ["e"]
CMD text of the shell
D

alike "an empty ENTRYPOINT and CMD" '' <<'D'
FROM box
ENTRYPOINT []
CMD []
D

alike "LABEL" '' --label given=1 --label "over=command line" <<'D'
FROM box
LABEL a=b c="d e" "f g"=h
LABEL i j k
LABEL multi="one \
two" empty= "dotted.name/with-slash"=x
LABEL a=again over=file
LABEL json="{\"a\": [1, 'x']}"
D

alike "EXPOSE" '' <<'D'
FROM box
EXPOSE 80 443/tcp 53/udp
EXPOSE 80/tcp
D

# buildah keeps them as they are written.
gives "EXPOSE of a range, and protocols in any case" '' '
config ExposedPorts {"8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}, "9000/sctp": {}}' <<'D'
FROM box
EXPOSE 8000-8002 9000/SCTP
D

alike "VOLUME as text and as a list" '' <<'D'
FROM box
VOLUME /a /b
VOLUME ["/c", "/d e"]
VOLUME /a
D

alike "STOPSIGNAL" '' <<'D'
FROM box
STOPSIGNAL 9
STOPSIGNAL SIGQUIT
D

alike "HEALTHCHECK" '' <<'D'
FROM box
HEALTHCHECK --interval=5s --timeout=1m30s --start-period=100ms --retries=4 CMD curl -f http://localhost/ || exit 1
D

alike "HEALTHCHECK as a list, and as it is without options" '' <<'D'
FROM box
HEALTHCHECK CMD ["true", "x y"]
D

alike "HEALTHCHECK NONE" '' <<'D'
FROM box
HEALTHCHECK CMD x
HEALTHCHECK NONE
D

alike "USER as it is written" '' <<'D'
FROM box
USER alice:extra
D

alike "MAINTAINER changes nothing that is compared" '' <<'D'
FROM box
MAINTAINER Somebody <s@example.org>
D

alike "ONBUILD is kept for later" '' <<'D'
FROM box
ONBUILD RUN echo x >/x
ONBUILD COPY . /here
ONBUILD ENV A=b
onbuild user alice
D

alike "what a directory is for with a volume in it" 'mkdir d; echo x >d/x' <<'D'
FROM box
RUN mkdir /v && echo before >/v/before
COPY d /v/d
VOLUME /v
D

alike "keywords in any case, tabs, carriage returns" 'sed -i "s/$/\r/" Dockerfile' <<'D'
from box
	env   A=1
Run echo $A >/a
cMd ["x"]
   # indented comment
label  b="c"
D

refused "an instruction that does not exist" '' 'RUNN' <<'D'
FROM box
RUNN x
D

# buildah takes it.
refused_here "a port that is none" '' '70000' <<'D'
FROM box
EXPOSE 70000
D
