FROM a
RUN --network=none --security=insecure x
RUN --network=host -x
RUN --security=sandbox --network=default --device=vendor.org/gpu=all,required --device=b x
RUN -- --mount=no
RUN --mount=type=tmpfs,target=/t,size=64m --mount=type=ssh,id=k,required x
