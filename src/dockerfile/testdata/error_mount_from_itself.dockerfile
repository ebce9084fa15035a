FROM a AS b
RUN --mount=target=/y --mount=from=b,target=/x make
