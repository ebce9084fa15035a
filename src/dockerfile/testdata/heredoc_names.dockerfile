FROM a
RUN cat <<EOF|sort;true
1
EOF
RUN (cat <<EOF) && cat <<"A B">x
2
EOF
3
A B
RUN cat 3<<\E <<F"O"O
4
E
5
FOO
COPY <<"file name" <<-tabs /d
$x
file name
	y
	tabs
