FROM a
RUN x \\
USER b
