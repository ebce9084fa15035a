FROM a
COPY a <<.. /y
