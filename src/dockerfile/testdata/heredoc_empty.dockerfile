FROM a
RUN <<E
E
COPY <<E /x
E
