# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# .dockerignore

tree='mkdir -p a/b/c d/tmp sub/q/tmp node_modules/x; for f in a/1.log a/b/2.log a/b/c/3.log a/keep.log d/tmp/f sub/q/tmp/g sub/q/h node_modules/x/y top.md README.md README-secret.md; do echo $f >$f; done'

alike "patterns of .dockerignore" "$tree; printf '%s\n' '# comment' '' '*/*.log' '**/tmp' 'node_modules' '*.md' '!README.md' >.dockerignore" <<'D'
FROM box
COPY . /c
D

alike "exceptions bring back what is in an ignored directory" "$tree; printf '%s\n' 'a' '!a/b/2.log' 'sub/**' '!sub/q/h' >.dockerignore" <<'D'
FROM box
COPY . /partly
D

alike "all is ignored but a list" "$tree; printf '%s\n' '*' '!a/**' 'a/b/c' '!d' >.dockerignore" <<'D'
FROM box
COPY . /partly
D

alike "the last pattern that matches counts" "$tree; printf '%s\n' '*.md' '!README*.md' 'README-secret.md' >.dockerignore" <<'D'
FROM box
COPY . /c
D

alike "slashes and dots around patterns" "$tree; printf '%s\n' '/a/b' 'd/' './sub/../top.md' '  node_modules  ' >.dockerignore" <<'D'
FROM box
COPY . /c
D

alike "the Dockerfile and .dockerignore may be ignored" "$tree; printf '%s\n' Dockerfile .dockerignore >.dockerignore" <<'D'
FROM box
COPY . /c
D

refused "what is ignored is not there by name either" "$tree; echo top.md >.dockerignore" 'top.md' <<'D'
FROM box
COPY top.md /c
D

alike "question marks and classes" "$tree; printf '%s\n' 'a/?.log' '**/[2-9].log' >.dockerignore" <<'D'
FROM box
COPY . /c
D

alike "another Dockerfile has an ignore file of its own" "
$tree; cp Dockerfile Other; echo top.md >.dockerignore; echo README.md >Other.dockerignore" \
  "ours:--file=$context/Other" theirs:--file=Other "theirs:--ignorefile=$context/Other.dockerignore" <<'D'
FROM box
COPY *.md /c/
D
