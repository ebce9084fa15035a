FROM a
LABEL greeting="Grüße, 世界" emoji=🚢
RUN echo "ä" <<É
ß
É
