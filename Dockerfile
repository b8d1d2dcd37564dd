# One image, made in either of two ways:
#   docker build .    compiles the program in a container
#   make image        compiles it outside and pulls nothing
# Neither needs BuildKit.

# The image but for its files.
FROM scratch AS base
ARG VERSION=dev
LABEL org.opencontainers.image.title="no502" \
      org.opencontainers.image.description="Repairs Nginx Proxy Manager's proxy hosts in front of Docker containers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/no502/no502" \
      org.opencontainers.image.version="$VERSION"
USER 65532:65532
EXPOSE 8502
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/no502", "healthcheck"]
ENTRYPOINT ["/no502"]
CMD ["run"]

# make image: the context holds the files and nothing else. (A builder without
# BuildKit passes here on its way to the last stage, which does not use it.)
FROM base AS prebuilt
COPY . /

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controller controller
COPY reconcile reconcile
COPY test/lab test/lab
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /no502 ./cmd/no502

FROM base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /no502 /no502
