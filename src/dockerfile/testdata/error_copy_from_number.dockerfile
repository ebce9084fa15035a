FROM a
FROM b
COPY --from=2 a b
