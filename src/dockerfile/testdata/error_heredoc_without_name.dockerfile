FROM a
RUN cat <<""
x
