FROM a
ONBUILD COPY --form=x a b
