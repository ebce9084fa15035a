FROM a
MAINTAINER Ann <ann@example.org>
