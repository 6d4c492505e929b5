FROM python:3.13.16-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/colonnade \
    && /opt/colonnade/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[tracing]' \
    && /opt/colonnade/bin/pip uninstall --yes pip

FROM python:3.13.16-slim-bookworm
COPY --from=build /opt/colonnade /opt/colonnade
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/colonnade
ENV PATH=/opt/colonnade/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COLONNADE_DATA_DIR=/var/lib/colonnade \
    COLONNADE_HOST=0.0.0.0 \
    COLONNADE_PORT=8000 \
    COLONNADE_LOG_FORMAT=json
WORKDIR /var/lib/colonnade
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["colonnade"]
CMD ["serve"]
