FROM a
COPY [["a"], "b"] c
COPY [["a"], "b"]
