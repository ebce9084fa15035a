FROM a
RUN echo "<<EOF"
RUN echo '<<EOF'
RUN cat <<<word
RUN x=$((1<<2))
RUN echo << x
RUN echo it\'s a<<EOF
RUN ["cat", "<<EOF"]
CMD cat <<EOF
