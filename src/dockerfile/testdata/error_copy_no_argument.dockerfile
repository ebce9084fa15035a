FROM a
COPY --link
