FROM a
USER bob:staff
USER $U
USER two words
WORKDIR relative path
WORKDIR "/quoted"
WORKDIR ${A}/b
STOPSIGNAL 9
STOPSIGNAL $S
