FROM a
COPY --from=0 a b
