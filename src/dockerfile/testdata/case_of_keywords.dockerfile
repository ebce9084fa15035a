from a As B
Run x
cMd ["y"]
