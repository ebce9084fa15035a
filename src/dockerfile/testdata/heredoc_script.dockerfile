FROM a
RUN <<EOF
apt-get update
apt-get install -y x
EOF
RUN <<-EOF
	indented
		twice
	EOF
RUN --network=none <<EOF
x
EOF
USER b
