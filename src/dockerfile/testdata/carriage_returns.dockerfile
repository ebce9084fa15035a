# syntax=x
FROM a
RUN one \

  two
COPY <<E /
line
E
USER u
