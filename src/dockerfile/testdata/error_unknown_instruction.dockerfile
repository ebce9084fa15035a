FROM a

RUNN make
USER b
