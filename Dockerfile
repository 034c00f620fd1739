FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock /
# The libraries' own tests are a tenth of the size and never run here.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --require-hashes --only-binary :all: --requirement /requirements.lock \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} +
WORKDIR /app
COPY . .
# numba takes a cached kernel only while its source has the time it had: whole seconds outlive every image format.
RUN find . -exec touch --date=@1767225600 {} + \
    && /opt/venv/bin/python -m compileall -q . \
    && NUMBA_CACHE_DIR=/opt/kernels /opt/venv/bin/python -m utils.stores.compiling \
    && NUMBA_CACHE_DIR=/opt/kernels /opt/venv/bin/python -m utils.indicators.compiling

FROM python:3.13-slim AS live
# The base leaves the standard library uncompiled, and nothing can be written later: each start would do it anew, in
# half a second. 12 MB.
RUN python -m compileall -q -x '/(site-packages|ensurepip|idlelib|pydoc_data|turtledemo)/' /usr/local/lib/python3.*/
RUN groupadd --gid 10001 candlewick \
    && useradd --uid 10001 --gid candlewick --no-create-home --home-dir /tmp candlewick \
    && install -d -o candlewick -g candlewick /data/journal /data/logs /data/run /data/demo
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/kernels /opt/kernels
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 NUMBA_CACHE_DIR=/tmp/kernels
USER 10001:10001
WORKDIR /app
# numba uses no cache that it can not write to, and the root is read-only: /tmp gets a copy of some megabytes.
ENTRYPOINT ["sh", "-c", "cp -R /opt/kernels \"$NUMBA_CACHE_DIR\" && exec \"$@\"", "candlewick"]
CMD ["python", "manage.py", "--help"]

# What the simulated exchange needs on top stays out of the image that goes live.
FROM build AS build-demo
RUN pip install --no-cache-dir --target /opt/demo --require-hashes --only-binary :all: --requirement requirements/demo.lock

FROM live AS demo
COPY --from=build-demo /opt/demo /opt/demo
ENV PYTHONPATH=/opt/demo TMPDIR=/data/demo

FROM live
