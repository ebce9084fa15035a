FROM a
LABEL a=b "c d"='e f' org.x.y="z"
LABEL "one"=1
LABEL old style
LABEL multi="a \
  b"
