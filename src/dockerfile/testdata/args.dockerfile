FROM a
ARG A B C
ARG A=1 B="x y" C
ARG A=$B
