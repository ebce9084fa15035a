FROM a
RUN one \
# at the margin
    two \
    # indented
    three
ENV A=1 \
# before the last line
    B=2
