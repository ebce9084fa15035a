# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016 # scripts and Dockerfiles have variables of their own
# COPY: what is taken, where it goes, whose it becomes.

alike "COPY a directory: what is in it, not itself" '
mkdir -p d/e; echo x >d/x; echo y >d/e/y; ln -s x d/l; ln -s /nowhere d/dangling' <<'D'
FROM box
COPY d /t1
COPY d/ /t2/
COPY d/x /t3
COPY d/x /t4/
COPY d/x d/e /t5/
D

alike "COPY makes the directories above, and leaves those that are there" '
mkdir -p d/sub; echo x >d/sub/x; chmod 700 d d/sub' <<'D'
FROM box
RUN mkdir -m 711 /there && chown 1:2 /there
COPY d /there
COPY d/sub/x /deep/er/still/x
COPY d /deep/tree
D

alike "COPY keeps modes" '
for mode in 1777 0000 0444 0711 0644; do echo $mode >f$mode; chmod $mode f$mode; done
for mode in 1777 0700 0555; do mkdir d$mode; chmod $mode d$mode; echo x >d$mode/f; done' <<'D'
FROM box
COPY . /all/
D

# buildah takes set-id bits off what comes from a context; Docker does not.
gives "COPY keeps set-id bits, with another owner too" 'echo s >s; cp s g; chmod 4755 s; mkdir d; chmod 2775 d; chmod 6711 g' "
dir /d 755 0:0
file /d/s 4755 0:0 's\n'
file /d/g 6711 0:0 's\n'
dir /d/d 2775 0:0
file /owned 4755 1000:1001 's\n'" <<'D'
FROM box
COPY s g /d/
COPY d /d/d
COPY --chown=alice s /owned
COPY . /d/
RUN rm /d/Dockerfile
D

alike "COPY with wildcards" '
mkdir -p sub/a sub/b; for name in 1.txt 2.txt 10.txt 1.md "a b.txt" sub/a/x.txt sub/b/x.txt .hidden; do echo "$name" >"$name"; done' <<'D'
FROM box
COPY *.txt /all/
COPY ?.txt /one/
COPY [13-9]*.txt /range/
COPY [^1]*.txt /not/
COPY sub/*/x.t?t /below/
COPY sub/[a] /directory/
COPY 1.* /several/
D

alike "COPY * takes directories apart, and what begins with a dot" '
mkdir -p one/in two; echo 1 >one/in/f; echo 2 >two/g; echo 3 >.dot; echo 4 >plain' <<'D'
FROM box
COPY * /all/
D

alike "COPY as a list: blanks in names" 'echo 1 >"a b"; mkdir "c d"; echo 2 >"c d/e f"' <<'D'
FROM box
COPY ["a b", "/x y/"]
COPY ["c d", "/to z"]
COPY ["a b", "c d/e f", "/both/"]
D

alike "COPY with --chown" 'mkdir -p d/e; echo x >d/e/x; ln -s x d/e/l; chmod 750 d/e/x' <<'D'
FROM box
RUN mkdir /there
COPY --chown=alice d /t1
COPY --chown=alice:extra d /t2
COPY --chown=12:34 d /t3/deep/er
COPY --chown=1000 d /t4
COPY --chown=:staff d/e/x /t5/x
COPY --chown=nobody:1002 d /there
D

alike "COPY with --chmod" 'mkdir -p d/e; echo x >d/e/x; ln -s x d/e/l; chmod 600 d/e/x' <<'D'
FROM box
COPY --chmod=755 d/e/x /f1
COPY --chmod=4711 d/e/x /deep/f2
COPY --chmod=0640 --chown=1:2 d/e/x /f3
D

alike "links in a context: kept in a directory, followed as a source" '
echo x >f; ln -s f link; mkdir -p d/e; echo y >d/e/y; ln -s d dirlink; ln -s ../f d/up; ln -s d/e/y through' <<'D'
FROM box
COPY d /d
COPY link /l1
COPY through /l2
COPY dirlink /l3
COPY dirlink/e /l4
D

alike "hard links in a context" 'echo x >a; ln a b; mkdir d; ln a d/c; echo y >d/e; ln d/e d/f' <<'D'
FROM box
COPY d /d
D

alike "COPY onto what is there: files replaced, directories joined" '
mkdir -p d/sub; echo new >d/f; echo new >d/sub/g; echo one >single' <<'D'
FROM box
RUN mkdir -p /d/sub /d/old && echo old >/d/f && echo old >/d/sub/h && chmod 600 /d/f && chown 5:6 /d/f && echo old >/single && ln -s /single /link
COPY d /d
COPY single /single
D

alike "COPY through links in the image" 'echo x >f; mkdir d; echo y >d/y' <<'D'
FROM box
RUN mkdir -p /real/in && ln -s /real /abs && ln -s real/in /rel && ln -s ../../../../real /up
COPY f /abs/f
COPY f /rel/
COPY f /up/g
COPY d /abs/in/
D

alike "COPY of an empty directory and of empty files" 'mkdir -p e/f/g; : >z; mkdir d; : >d/z' <<'D'
FROM box
COPY e /e
COPY z /
COPY d/ /d/
D

alike "long names, deep directories, names of all kinds" '
long=$(printf "n%.0s" $(seq 250)); echo 1 >"$long"; ln -s "$long" link
deep=$(printf "directory-with-a-name/%.0s" $(seq 12)); mkdir -p "deep/$deep"; echo 2 >"deep/$deep/$long"
mkdir odd; for name in "äöü" "日本語" "e\u0301" "a\nb" "tab	tab" "-dash" "quo\"te" "back\\slash" "st*ar" "🙂" " lead"; do printf "%b" "$name" >"odd/$(printf %b "$name")"; done' <<'D'
FROM box
COPY . /c/
D

alike "a file of some megabytes, one with holes" '
head -c 5000000 /dev/zero | tr "\0" x >big; truncate -s 3000000 sparse; printf end >>sparse' <<'D'
FROM scratch
ENV PATH=/bin
COPY big sparse /
D

alike "COPY to relative destinations" 'echo x >f; mkdir d; echo y >d/y' <<'D'
FROM box
COPY f rel/f
WORKDIR /w/x
COPY f .
COPY f ./sub/
COPY d ../d
COPY f ../../top
WORKDIR y
COPY f z
D

alike "a context that is copied whole" 'mkdir -p a/b; echo 1 >a/b/c; echo 2 >d; ln -s d e' <<'D'
FROM box
COPY . /c
COPY ./ /d/
COPY / /e
COPY ./a/../d /f
COPY /a /g
D

refused "COPY of what is not there" 'echo x >f' 'nothing' <<'D'
FROM box
COPY f nothing /x/
D

refused "COPY of a wildcard without a match" 'echo x >f' 'no.*' <<'D'
FROM box
COPY no* /x/
D

# buildah makes the directory.
refused_here "COPY of several to what is no directory" 'echo x >f; echo y >g' 'director|/' <<'D'
FROM box
COPY f g /x
D

refused "COPY from outside of the context" 'echo x >f' 'outside' <<'D'
FROM box
COPY ../outside /x
D
