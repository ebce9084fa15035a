# first

   # indented
FROM a
	# behind a tab
#no blank
RUN x # not a comment
