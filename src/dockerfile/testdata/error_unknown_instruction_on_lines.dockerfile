FROM a
COPPY a \
  b \
  c
USER d
