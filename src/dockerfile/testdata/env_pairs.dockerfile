FROM a
ENV A=1
ENV A=1 B="two words" C='single $A' D=a\ b E="q\"q" F="" G=
ENV A=${B:-x} B=a"b"c'd'
ENV A=x=y
