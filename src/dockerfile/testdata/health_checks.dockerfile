FROM a
HEALTHCHECK NONE
HEALTHCHECK none
HEALTHCHECK CMD curl -f http://x/ || exit 1
HEALTHCHECK cmd ["a", "b"]
HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0 --start-interval=1h --retries=0 CMD a
HEALTHCHECK --timeout= CMD a
