FROM a
RUN python3 <<EOF
print("a")
EOF
RUN cat <<'EOF' > /etc/x && chmod 600 /etc/x
$not ${expanded}
EOF
