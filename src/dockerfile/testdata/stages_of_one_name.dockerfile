FROM a AS x
FROM b AS X
FROM x
COPY --from=x c d
COPY --from=X c d
COPY --from=later e f
FROM d AS later
