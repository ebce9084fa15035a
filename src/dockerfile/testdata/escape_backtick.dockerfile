# escape=`
FROM a
COPY C:\dir\ D:\
RUN dir `
  C:\
ENV A=b` c B=\
