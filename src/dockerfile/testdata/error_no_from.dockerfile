ARG A=1
# nothing
ARG B
