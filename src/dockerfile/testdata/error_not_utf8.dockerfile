FROM a
# é
RUN café
