# syntax=docker/dockerfile:1
FROM node:20-bookworm-slim AS ui
WORKDIR /src/dashboard-ui
COPY dashboard-ui/package.json dashboard-ui/package-lock.json ./
RUN PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
COPY dashboard-ui ./
COPY wire/testdata/golden /src/wire/testdata/golden
RUN npm run build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=ui /src/dashboard-ui/dist ./dashboard-ui/dist
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /weir ./cmd/weir \
 && mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /weir /weir
COPY --from=build --chown=nonroot:nonroot /data /data
VOLUME /data
EXPOSE 7420
ENTRYPOINT ["/weir"]
CMD ["serve", "--data", "/data"]
