FROM a
ONBUILD RUN make \
  install
onbuild copy --chown=1 . /src
ONBUILD RUN <<EOF
a
EOF
ONBUILD COPY <<A <<-'B' /d
1
A
	2
	B
ONBUILD ENV A=b
ONBUILD HEALTHCHECK NONE
