FROM a
RUN --mount=type=cache,taget=/x make
