FROM a
RUN --mount=type=chache,target=$X make
