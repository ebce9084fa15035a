FROM a
RUN <<E
x
E