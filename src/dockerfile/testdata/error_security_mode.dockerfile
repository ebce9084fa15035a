FROM a
RUN --security=$S make
