FROM a
COPY --link --chwon=1:1 a b
