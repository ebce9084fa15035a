FROM a
RUN <<EOF
# no comment
FROM inside

EOF not yet
 EOF
	EOF
a \
b
EOF
# comment
USER x
