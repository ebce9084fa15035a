# base is what everything is built on
# in two lines
FROM a AS base
# not above, a blank line lies between

ARG X
# X says something
ARG Y=1
