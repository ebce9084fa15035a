FROM a
LABEL ä=1 grüße 世界=2
