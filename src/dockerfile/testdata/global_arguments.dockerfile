ARG A
ARG B=1 C="2 3" D=$B
FROM a:$A
ARG A
ARG E='x y' F=
