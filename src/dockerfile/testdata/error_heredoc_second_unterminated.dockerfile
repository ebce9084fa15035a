FROM a
RUN cat <<A <<B
x
A
B2
