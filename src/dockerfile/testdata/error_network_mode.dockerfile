FROM a
RUN --network=nnoe make
