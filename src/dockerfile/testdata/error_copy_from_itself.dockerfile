FROM a
FROM b AS c
COPY a b
COPY --from=C a b
