# `make help` lists the targets. `make run` and `make test` are the two that the README promises.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOL    := go tool -modfile=tools/go.mod
GOTEST  := go test -race -shuffle=on
UI      := dashboard-ui
SDK_TS  := sdk/ts
UI_SRC  := $(shell find $(UI)/src $(UI)/public $(UI)/index.html $(UI)/package-lock.json $(UI)/vite.config.ts $(SDK_TS)/src 2>/dev/null)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

## --- build and run

.PHONY: build
build: ui ## build bin/weir with the dashboard inside
	go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/weir ./cmd/weir

.PHONY: ui
ui: $(UI)/dist/index.html ## build the dashboard (needs Node)

$(UI)/node_modules/.package-lock.json: $(UI)/package-lock.json
	cd $(UI) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
	@touch $@

$(UI)/dist/index.html: $(UI)/node_modules/.package-lock.json $(UI_SRC)
	cd $(UI) && npm run --silent build

.PHONY: run
run: build ## serve with the embedded broker, a simulated fleet and this host's metrics
	./scripts/run.sh

## --- tests

.PHONY: test
test: test-go test-ui test-sdk-ts test-browser ## all tests but the real Kafka's

.PHONY: test-go
test-go: ## Go tests with the race detector, in random order
	$(GOTEST) ./...

.PHONY: test-ui
test-ui: $(UI)/node_modules/.package-lock.json ## the dashboard's unit tests
	cd $(UI) && npm test --silent

$(SDK_TS)/node_modules/.package-lock.json: $(SDK_TS)/package-lock.json
	cd $(SDK_TS) && npm ci --no-audit --no-fund
	@touch $@

.PHONY: test-sdk-ts
test-sdk-ts: build $(SDK_TS)/node_modules/.package-lock.json ## the TypeScript client: unit tests, then against the real server
	cd $(SDK_TS) && npm test --silent && WEIR_BIN=$(CURDIR)/bin/weir npm run --silent test:server

.PHONY: test-browser
test-browser: build ## the dashboard in Chromium against the real server
	cd $(UI) && WEIR_BIN=$(CURDIR)/bin/weir npm run --silent e2e

.PHONY: test-api
test-api: build ## the running server against its OpenAPI document, with schemathesis (needs Python 3)
	WEIR_BIN=$(CURDIR)/bin/weir ./scripts/schemathesis.sh

.PHONY: test-kafka
test-kafka: build ## contract suite and whole path on a real Apache Kafka (needs Java 17 and Maven)
	@command -v java >/dev/null || { echo "make test-kafka: no java on PATH; install Java 17 (Debian: apt-get install openjdk-17-jre-headless)" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "make test-kafka: no mvn on PATH; install Maven (Debian: apt-get install maven)" >&2; exit 1; }
	WEIR_BIN=$(CURDIR)/bin/weir $(GOTEST) -tags realkafka -timeout 15m ./kafka/... ./bridge/... ./e2e/...

CLIENTS := e2e/clients

$(CLIENTS)/node/node_modules/.package-lock.json: $(CLIENTS)/node/package-lock.json
	cd $(CLIENTS)/node && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

$(CLIENTS)/.cache/venv/installed: $(CLIENTS)/python/requirements.txt
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(CLIENTS)/.cache/telegraf: scripts/telegraf.sh
	./scripts/telegraf.sh $@

.PHONY: test-clients
test-clients: build $(CLIENTS)/node/node_modules/.package-lock.json $(CLIENTS)/.cache/venv/installed $(CLIENTS)/.cache/telegraf ## stock clients as devices: Telegraf, Node-RED, MQTT, curl, … (needs Python, curl, zstd, protoc)
	cd $(UI) && WEIR_BIN=$(CURDIR)/bin/weir npm run --silent e2e:clients

SEED     ?= 1
DURATION ?= 5m

.PHONY: soak-ingest
soak-ingest: build ## kill servers, devices and the network for DURATION (5m) by SEED on each broker, then count
	./scripts/soak.sh ingest $(SEED) $(DURATION)

.PHONY: soak-overload
soak-overload: build ## offer three times the capacity for DURATION (60s), then count
	./scripts/soak.sh overload $(SEED) $(if $(filter file,$(origin DURATION)),60s,$(DURATION))

.PHONY: soak-pipeline
soak-pipeline: build ## kill pipelines and brokers for DURATION (5m) by SEED, then compare with a sequential model (BROKER=embedded|kafka: one of both)
	./scripts/soak.sh pipeline $(SEED) $(DURATION)

.PHONY: soak-push
soak-push: build $(SDK_TS)/node_modules/.package-lock.json ## cut, stall and kill for DURATION (5m) by SEED while 500 live clients in Go and 20 in Node check all they are told (BROKER=embedded|kafka: one of both)
	cd $(SDK_TS) && npm run --silent build
	./scripts/soak.sh push $(SEED) $(DURATION)

.PHONY: soak-faults
soak-faults: build ## Kafka away, Kafka slow, disk full: what devices are told, and what is kept
	./scripts/soak.sh faults

## --- checks

.PHONY: check
check: check-format check-gen lint check-ui check-sdk-ts ## format, lint, import rules, types, generated code

.PHONY: check-format
check-format:
	@out=$$(gofmt -l $$(git ls-files '*.go' | grep -v weirpb)); test -z "$$out" || { echo "gofmt needed: $$out" >&2; exit 1; }
	go mod verify >/dev/null
	go mod tidy -diff

.PHONY: lint
lint: ## golangci-lint with depguard's import rules, and internal/archtest
	$(TOOL) golangci-lint run ./...
	go test ./internal/archtest

.PHONY: gen
gen: ## regenerate wire/weirpb from wire/proto
	cd wire && go tool -modfile=../tools/go.mod buf generate

.PHONY: check-gen
check-gen: gen ## generated code is what the sources make; the wire format is not broken
	@git diff --exit-code -- wire/weirpb || { echo "generated code differs: commit the result of 'make gen'" >&2; exit 1; }
	cd wire && go tool -modfile=../tools/go.mod buf lint
	./scripts/buf-breaking.sh

.PHONY: check-ui
check-ui: $(UI)/node_modules/.package-lock.json ## types and lint of the dashboard
	cd $(UI) && npm run --silent check

.PHONY: check-sdk-ts
check-sdk-ts: $(SDK_TS)/node_modules/.package-lock.json ## types and lint of the TypeScript client
	cd $(SDK_TS) && npm run --silent check

## --- measuring

.PHONY: bench
bench: build ## micro and end-to-end benchmarks into bench/results
	./scripts/bench.sh

.PHONY: bench-peers
bench-peers: ## the pipeline beside Kafka Streams on one Apache Kafka, into bench/results (needs Java 17 and Maven)
	./scripts/bench-peers.sh

.PHONY: bench-push-peers
bench-push-peers: ## push beside Centrifugo, into bench/results (the first time Centrifugo is built from the Go module proxy)
	./scripts/bench-push-peers.sh

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (default 30s)
	./scripts/fuzz.sh $${FUZZTIME:-30s}

.PHONY: clean
clean: ## remove what was built
	rm -rf bin $(UI)/node_modules $(SDK_TS)/node_modules $(SDK_TS)/dist $(CLIENTS)/.cache $(CLIENTS)/node/node_modules
	find $(UI)/dist -mindepth 1 ! -name README.md -delete
