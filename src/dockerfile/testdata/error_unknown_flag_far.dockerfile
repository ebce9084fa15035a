FROM a
RUN --privileged x
