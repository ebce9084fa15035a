FROM a
RUN cat <<ONE && cat <<"TWO" | sh
a
ONE
b
TWO
COPY <<one.txt <<two.txt local /dest/
1
one.txt
2
two.txt
ADD <<EOF /x
y
EOF
