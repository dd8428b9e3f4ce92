# The champion's service: its dependencies, the serving part of Slipway, the project's app.py, the bundle. docs/image.md explains why.
#
# A released image pins its base by digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm


# The lock file for the runtime that the bundle's manifest names. A stage of its own, so that another model of the same
# kind finds the dependencies in the cache.
FROM ${BASE} AS requirements
ARG RELEASE=champion
# STORE=1 adds the packages that keep predictions in a bucket.
ARG STORE=""
# part: signing
# SIGNING=1 adds the package that verifies a signature.
ARG SIGNING=""
# end: signing
WORKDIR /requirements
COPY ${RELEASE}/bundle/manifest.json requirements*.txt ./
RUN ["python", "-c", "import json, os, pathlib; \
     runtime = json.load(open('manifest.json'))['runtime']; \
     locks = [{'onnx': 'requirements.txt'}.get(runtime, f'requirements-{runtime}.txt')]; \
     locks += ['requirements-store.txt'] if os.environ['STORE'] else []; \
# part: signing
     locks += ['requirements-signing.txt'] if os.environ['SIGNING'] else []; \
# end: signing
     pathlib.Path('chosen.txt').write_text(''.join(pathlib.Path(lock).read_text() for lock in locks))"]


# Dates, modes and bytecode are made the same in every build, so that equal inputs give equal layers. For that each
# layer has all of its folders below /layer: a parent folder that COPY made or touched would have the time of the build.
FROM ${BASE} AS dependencies
ENV PYTHONHASHSEED=0
COPY --from=requirements /requirements/chosen.txt /requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python --no-input --disable-pip-version-check \
        install --quiet --require-hashes --no-deps --only-binary :all: --no-compile --requirement /requirements.txt
RUN find /opt/venv/lib -depth \( -type d -name tests -o -name '*.pyi' \) -exec rm -r {} + \
    && rm -rf /opt/venv/lib/python*/site-packages/onnxruntime/quantization \
        /opt/venv/lib/python*/site-packages/onnxruntime/tools \
        /opt/venv/lib/python*/site-packages/onnxruntime/transformers \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib \
    && mkdir /layer && mv /opt /layer/ && find /layer -exec touch --no-dereference --date=@315532800 {} +


FROM ${BASE} AS code
ENV PYTHONHASHSEED=0
WORKDIR /opt/slipway/slipway
COPY src/slipway/__init__.py ./
COPY src/slipway/contract ./contract
COPY src/slipway/problem ./problem
COPY src/slipway/model ./model
COPY src/slipway/serving ./serving
# The project's application. Its other modules are copied, too; the service does not import them.
COPY src/project ../project
COPY pyproject.toml /
# The package's version, without the pipeline's dependencies. The name has a capital, which Python ignores: some engines
# sort `slipway-...` before the content of `slipway/` and some after it, which would change the layer.
RUN ["python", "-c", "import pathlib, tomllib; \
     about = tomllib.load(open('/pyproject.toml', 'rb'))['project']; \
     path = pathlib.Path('/opt/slipway/Slipway-{version}.dist-info/METADATA'.format(**about)); \
     path.parent.mkdir(); \
     path.write_text('Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\nLicense-Expression: {license}\\n'.format(**about))"]
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/slipway \
    && chmod -R u=rwX,go=rX /opt/slipway \
    && mkdir /layer && mv /opt /layer/ && find /layer -exec touch --no-dereference --date=@315532800 {} +


FROM ${BASE} AS release
ARG RELEASE=champion
WORKDIR /opt/slipway/champion
COPY ${RELEASE}/bundle ./bundle
COPY ${RELEASE}/evaluation ./evaluation
# As patterns, since a bundle may be unsigned, and a candidate (--build-arg RELEASE=build) has no decision yet.
COPY ${RELEASE}/bundle/manifest.json ${RELEASE}/decision.jso[n] ${RELEASE}/bundle.si[g] ./
RUN rm manifest.json \
    && chmod -R u=rwX,go=rX /opt/slipway \
    && mkdir /layer && mv /opt /layer/ && find /layer -exec touch --no-dereference --date=@315532800 {} +


FROM ${BASE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/slipway \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SLIPWAY_HOST=0.0.0.0 \
    SLIPWAY_PORT=8000
# The layers that change most often come last.
COPY --from=dependencies /layer /
COPY --from=code /layer /
COPY --from=release /layer /
WORKDIR /opt/slipway
USER 65532:65532
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + (os.environ.get('SLIPWAY_OPS_PORT') or os.environ['SLIPWAY_PORT']) + '/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "slipway.serving"]

ARG SOURCE=""
ARG REVISION=""
ARG MODEL_NAME=""
ARG MODEL_VERSION=""
ARG MODEL_DIGEST=""
ARG DATA_DIGEST=""
LABEL org.opencontainers.image.title="${MODEL_NAME}" \
      org.opencontainers.image.description="The champion of ${MODEL_NAME}, served over HTTP by Slipway" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${MODEL_VERSION}" \
      slipway.model.digest="${MODEL_DIGEST}" \
      slipway.data.digest="${DATA_DIGEST}"
