FROM a AS a/b
