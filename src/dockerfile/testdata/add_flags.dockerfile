FROM a
ADD --checksum=sha256:0123456789012345678901234567890123456789012345678901234567890123 https://example.org/x.tar /x
ADD --keep-git-dir=true --link https://example.org/r.git#v1 /r
ADD --unpack=false a.tar /
ADD --unpack --chown=a --chmod=644 --exclude=b https://example.org/x.tgz /
