FROM a AS one
FROM b
COPY --from=one --chown=1:2 --chmod=755 --link --parents --exclude=*.o --exclude=**/x a b c/
COPY --from=0 --link=false a b
COPY --from=busybox:1 --parents=TRUE a b
COPY --from= a b
