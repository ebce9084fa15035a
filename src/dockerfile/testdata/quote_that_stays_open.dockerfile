FROM a
ENV A="b c
RUN echo "it's
LABEL x='y
