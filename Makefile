# Everything is one command: `make demo`, `make test`, `make bench`, `make soak`.

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(shell go env GOPATH)/bin/golangci-lint
GITLEAKS_VERSION := v8.30.1
GITLEAKS := $(shell go env GOPATH)/bin/gitleaks
GORELEASER_VERSION := v2.15.1
GORELEASER := $(shell go env GOPATH)/bin/goreleaser
NFPM_VERSION := v2.45.2
NFPM := $(shell go env GOPATH)/bin/nfpm
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
# The race detector makes deriving a key from a passphrase six times as slow, and SQLite,
# which is translated C, three times; it finds nothing in either. Tests that build fob with
# it use these flags too.
export FOB_RACE_FLAGS := $(foreach package,golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b golang.org/x/crypto/scrypt github.com/ncruces/go-sqlite3-wasm/v6,-gcflags=$(package)=-race=false)

.PHONY: help build demo test check lint unit fuzz e2e cross bench soak setup pictures release-snapshot release clean

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

build: ## Build bin/fob, stripped
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X github.com/fobcli/fob/internal/app.release=$(VERSION)' -o bin/fob .

demo: ## A tour of fob in a minute, against a test issuer on this machine
	@sh testdata/demo.sh

test: unit fuzz e2e cross lint ## Run every test; installs what it needs, or prints the line that does

setup: # Everything; each target below installs what it needs itself.
	@sh testdata/setup.sh

check: ## What to run after each change: build, vet, unit tests and scripts
	go build ./... && go vet ./... && go test ./...

lint: $(GOLANGCI_LINT) ## Check style, and which layer imports which
	$(GOLANGCI_LINT) run ./... ./testdata/release
	cd testdata/e2e && go vet ./... && go vet -tags soak,release ./... && test -z "$$(gofmt -l . | tee /dev/stderr)"
	go mod tidy -diff

$(GOLANGCI_LINT):
	go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

cross: # What cannot run here must at least build and vet for the other systems.
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...

# The scripts wait more than they compute, and take the longest: they start first.
unit: ## Unit tests, attacks and scripts, with the race detector
	@sh testdata/setup.sh unit
	go test -race $(FOB_RACE_FLAGS) -count=1 -timeout 30m -parallel 4 ./internal/scripttest ./... ./testdata/release

fuzz: ## Every fuzz target for 2 seconds; 'make soak' does it at length
	@sh testdata/fuzz.sh 2s

$(GITLEAKS):
	go install github.com/zricethezav/gitleaks/v8@$(GITLEAKS_VERSION)

$(NFPM):
	go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)

$(GORELEASER):
	go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)

release-snapshot: setup $(GORELEASER) ## Build a release twice, compare the bytes, install and remove its package
	@sh testdata/release.sh snapshot
	cd testdata/e2e && FOB_DIST=$(CURDIR)/bin/dist go test -tags release -count=1 -run 'Package|Release' .

release: $(GORELEASER) # Build the tag that is checked out; .github/workflows/release.yml publishes it.
	@sh testdata/release.sh build

# What only one test needs may fail to install: that test fails then, and all others run.
# Only fob is built with the race detector, not what tests it: that starts as a browser, too.
e2e: $(GITLEAKS) $(NFPM) ## The real program against a real provider, keyring and browser
	@sh testdata/setup.sh e2e
	-@for subject in windows packages aws; do sh testdata/setup.sh $$subject; done
	@if [ "$$(uname)" = Linux ]; then \
		cd testdata/e2e && npm ci --ignore-scripts --no-audit --no-fund --loglevel error && go test -count=1 -timeout 60m -parallel 4 ./...; \
	else echo 'e2e: skipped, its parts run only on Linux'; fi

BENCH := .
bench: build $(GITLEAKS) ## Measure side by side, and write docs/benchmarks.md; BENCH=Start for one section
	@sh testdata/setup.sh bench
	cd testdata/e2e && npm ci --ignore-scripts --no-audit --no-fund --loglevel error && \
		FOB_BENCH=$(CURDIR)/bin/fob go test -count=1 -timeout 120m -run '^$$' -bench '^Benchmark$(BENCH)' -benchtime 1x .

soak: setup ## Fuzz for hours, kill and stop fob, put it under load; writes testdata/soak.md
	sh testdata/fuzz.sh 10m
	FOB_MODEL_STEPS=20000 go test -count=1 -timeout 90m -run 'TestRegistry/G55_Model' ./internal/apikey/registry/...
	cd testdata/e2e && FOB_SOAK=$(CURDIR)/testdata/soak.md go test -tags soak -count=1 -timeout 150m -run 'F52|F53Five|F54|G55Killed|CachedTokens|ServeADay|Real' ./...

pictures: setup ## Make the README's pictures from the real program
	cd testdata/e2e && npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	@sh testdata/pictures.sh

clean: ## Delete what was built
	rm -rf bin testdata/e2e/node_modules
