# One image, a command per role:
#
#   celery -A lockstep worker -Q operations -n operations@%h  forward steps (the default)
#   celery -A lockstep worker -Q rollback -n rollback@%h      undoing, deciding, settling, the sweep
#   celery -A lockstep beat                                   sends the sweep
#   python -m lockstep.worker.monitoring.flower --address=  the page on which people watch
#   lockstep create team-a                                    the command
#   python -m lockstep.mock_api --host 0.0.0.0                a cluster of unstable nodes, to try it on
#
# There is no entrypoint script, so the command is PID 1 and hears SIGTERM itself. The root file system may be
# read-only; /tmp must be writable, and /data where Flower is to remember (FLOWER_DB=/data/flower).
ARG PYTHON=docker.io/library/python:3.13-slim-bookworm

FROM ${PYTHON} AS build
# requirements-tracing.txt adds OpenTelemetry; see docs/watching.md.
ARG REQUIREMENTS=requirements.txt
WORKDIR /build
RUN python -m venv /opt/lockstep
# The requirements come first: a change of the code alone does not install them again.
COPY requirements.txt requirements-tracing.txt ./
RUN /opt/lockstep/bin/python -m pip install --no-cache-dir --no-input --require-hashes -r "${REQUIREMENTS}"
COPY pyproject.toml LICENSE ./
COPY lockstep ./lockstep
COPY worker ./worker
COPY producer ./producer
COPY mock_api ./mock_api
# What installs packages is of no use in the image, except to an intruder.
RUN /opt/lockstep/bin/python -m pip install --no-cache-dir --no-input --no-deps --no-build-isolation --no-index . \
 && /opt/lockstep/bin/python -m pip uninstall --yes --quiet setuptools pip

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Lockstep" \
      org.opencontainers.image.description="Create, change or delete a thing on every node of an unreliable cluster, all hosts or none." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/lockstep /opt/lockstep
ENV PATH=/opt/lockstep/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOCKSTEP_METRICS_ADDRESS=::
# A user with a name, or Celery warns that it might be root. /data is empty, and Flower's: a new volume of Docker or
# podman takes its owner from here.
RUN groupadd --gid=10001 lockstep \
 && useradd --uid=10001 --gid=10001 --no-create-home --home-dir=/tmp --shell=/usr/sbin/nologin lockstep \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
# By number, so that Kubernetes can see that it is not root. Nothing else in the image belongs to it.
USER 10001:10001
WORKDIR /opt/lockstep
# For the workers. Other roles bring a check of their own: see docker-compose.yml and manifests/.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python", "-m", "lockstep.worker.monitoring.probe", "live"]
CMD ["celery", "-A", "lockstep", "worker", "-Q", "operations", "-n", "operations@%h", "--without-gossip", "--without-mingle"]
