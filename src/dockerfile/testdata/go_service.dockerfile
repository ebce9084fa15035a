# syntax=docker/dockerfile:1.7
# check=skip=JSONArgsRecommended;error=true

ARG GO_VERSION=1.22
ARG ALPINE_VERSION="3.19"

# build compiles the service
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-alpine${ALPINE_VERSION} AS build
WORKDIR /src
ARG TARGETOS TARGETARCH
RUN --mount=type=bind,source=go.mod,target=go.mod \
    --mount=type=bind,source=go.sum,target=go.sum \
    --mount=type=cache,target=/go/pkg/mod \
    go mod download
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build,sharing=locked \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /out/serve ./cmd/serve

FROM scratch AS final
COPY --from=build --chown=65532:65532 /out/serve /serve
USER 65532:65532
EXPOSE 8080/tcp
ENTRYPOINT ["/serve"]
CMD ["--listen", ":8080"]
