FROM a
ADD ["a"]
