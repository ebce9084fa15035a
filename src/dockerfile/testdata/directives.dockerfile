#Escape = \
# SYNTAX=docker/dockerfile:1 with words
#check=error=true
FROM a
