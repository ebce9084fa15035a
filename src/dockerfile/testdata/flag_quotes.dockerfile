FROM a
COPY --chown="$U:$G" --chmod='0644' a b
COPY --chown=a\ b a b
COPY --exclude="*.md" --exclude=tmp a b
