ARG A
RUN make \
  all
FROM a
