FROM a
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN a | b
CMD c
ENTRYPOINT d $E
