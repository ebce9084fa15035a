FROM a
RUN --mount=from=base,target=/b,rw x
RUN --mount=type=cache,target=/c,id=i,sharing=private,mode=0700,uid=1,gid=2 x
RUN --mount=type=secret,id=k,env=KEY --mount=type=secret,src=k,dst=/k x
RUN --mount=type=cache,target=${HOME}/x,id=$ID,uid=$UID x
RUN --mount=type=bind,target=. \
    --mount="type=bind,target=/a b" \
    --mount=type=bind,target='/c d' \
    --mount='"source=a,b",target=/e' x
