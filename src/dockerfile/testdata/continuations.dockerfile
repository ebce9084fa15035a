FROM \
  a
RUN echo a\
b \  
  c
RUN echo \\
RUN \
\
  d
RU\
N e
