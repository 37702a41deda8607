# Kehu for production: the service alone. Postgres and Valkey are yours, named by DATABASE_URL and REDIS_URL.

FROM python:3.11-slim AS build
ENV UV_PYTHON_DOWNLOADS=never PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/uv.txt requirements/run.txt /requirements/
RUN python -m pip install --quiet --no-cache-dir --require-hashes --no-deps -r /requirements/uv.txt \
 && python -m venv --without-pip /opt/kehu \
 && python -m uv pip install --no-cache --python /opt/kehu/bin/python --compile-bytecode \
      --require-hashes --no-deps -r /requirements/run.txt

FROM python:3.11-slim
ENV PATH=/opt/kehu/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/kehu /opt/kehu
WORKDIR /srv/kehu
COPY app app
COPY workers workers
COPY migrations migrations
COPY openapi openapi
COPY alembic.ini* pyproject.toml LICENSE* ./
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
