# The workbench on its demo, in a container: for a Hugging Face Space (README.md, “On a Space”) or any host with Docker.
#
#   docker build -t featurescope --build-arg PIP_ARGS="--index-url <an index of CPU wheels>" .
#   docker run --rm -p 127.0.0.1:7860:7860 -v featurescope:/data featurescope
#
# On Linux the default index gives PyTorch with CUDA, which is several gigabytes more; PIP_ARGS names another one.

ARG PYTHON=3.11-slim-bookworm

# Installed apart, so that pip's downloads stay behind. Byte code is kept: without it every start compiles the libraries.
FROM python:${PYTHON} AS installed
ARG PIP_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /
RUN python -m venv /venv \
 && /venv/bin/python -m pip install ${PIP_ARGS} -r /requirements.txt \
 && /venv/bin/python -m pip uninstall --yes pip
# What only compilers, test runners and notebooks read; of torch's programs, its import starts one.
WORKDIR /venv/lib/python3.11/site-packages
RUN rm -rf torch/include torch/test pyarrow/include pyarrow/tests pandas/tests numba/tests \
           plotly/package_data/widgetbundle.js \
 && find torch/bin -type f ! -name torch_shm_manager -delete \
 && find . -type d -name tests -path './s*/*' -prune -exec rm -rf {} +

FROM python:${PYTHON}
# A Space runs its container as user 1000. The code is root's, so that the server cannot change itself; /data is the user's.
RUN useradd --create-home --uid 1000 user && install --directory --owner=user --group=user /data
COPY --from=installed /venv /venv
WORKDIR /app
# What changes seldom comes first: a change of code leaves the layers above it as they are.
COPY demo demo
COPY . .
RUN ["/venv/bin/python", "-m", "compileall", "-q", "."]
# HOST is open here because a container has an address of its own; what reaches it is for `docker run -p` to say.
ENV PATH=/venv/bin:$PATH HOST=0.0.0.0 PORT=7860 FEATURESCOPE_DATA=/data PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba
USER user
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
  "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]
CMD ["python", "app.py"]
