FROM a
ENV A one
ENV A   all the   rest
ENV A "quoted rest"
ENV A b=c
ENV A \
  next line
