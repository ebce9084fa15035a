FROM a
HEALTHCHECK --interval=$I CMD x
