FROM a
COPY a b
COPY a b c d/
COPY ["with blank", "more blanks/"]
COPY "quoted" $TO
COPY [ab] x
COPY [a b] x
COPY a\ b c
