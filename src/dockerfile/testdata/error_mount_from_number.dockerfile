FROM a
RUN --mount=from=1,target=/x make
