FROM a
RUN ["a", "b c", "\u00e9\n\""]
CMD [ ]
ENTRYPOINT ["x"] 
CMD	[
CMD ["a", "b"] and more
CMD ['a']
CMD ["a",]
RUN ["a" \
  , "b"]
CMD ["unclosed
