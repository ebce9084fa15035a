FROM a
RUN --network=none \
    --mont=type=cache,target=/x \
    make
