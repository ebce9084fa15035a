FROM a
RUN cat <<A \
  > x && \
  # comment
  cat <<B
one
A
two
B
