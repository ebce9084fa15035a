FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1

# The list first: it changes seldom.
COPY requirements.txt /app/
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      # for psycopg
      libpq5 \
      # for health checks
      curl \
 && rm -rf /var/lib/apt/lists/*
RUN pip install -r /app/requirements.txt
COPY src/ /app/src/
WORKDIR /app
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 \
  CMD curl -f http://localhost:8000/health || exit 1
STOPSIGNAL SIGINT
CMD ["python", "-m", "src.main"]
