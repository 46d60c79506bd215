# docker build -t elman .
# docker run --rm -v "$PWD:/work" elman train novel.txt -o runs/novel
FROM python:3.13-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist /src

FROM python:3.13-slim
RUN --mount=from=build,source=/dist,target=/dist \
    pip install --no-cache-dir "$(echo /dist/elman-*.whl)[plot,serve]" && mkdir -m 1777 /cache
ENV ELMAN_CACHE=/cache
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["elman"]
CMD ["--help"]
