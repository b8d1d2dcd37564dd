VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE    ?= no502:$(VERSION)
FUZZTIME ?= 10s

LINT_VERSION := v2.15.0
LINT         := .bin/golangci-lint-$(LINT_VERSION)
SBOM_TOOL    := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
# The race detector needs a C compiler.
RACE         := $(if $(shell command -v $$(go env CC)),-race)
CA_CERTS     := $(wildcard /etc/ssl/certs/ca-certificates.crt)

.DEFAULT_GOAL := help
.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: vet unit e2e ## Run all tests; all that they need is Go

.PHONY: vet
vet: ## Run go vet
	go vet ./...

.PHONY: unit
unit: ## Run unit, property and fuzz-seed tests, without an Engine
	$(if $(RACE),,@echo "==> no C compiler: tests run without the race detector")
	go test $(RACE) -timeout 20m $$(go list ./... | grep -v /test/e2e)

.PHONY: e2e
e2e: ## Run the end-to-end tests with a real Docker Engine
	test/with-engine go test -count=1 -timeout 10m ./test/e2e/...

.PHONY: soak
soak: ## Try all faults at length, and write the README's reliability table
	{ NO502_SOAK=1 go test -json -count=1 -timeout 20m -run '^TestFault' ./cmd/no502; \
	  test/with-engine go test -json -count=1 -timeout 10m -run '^TestFault' ./test/e2e; } | go run ./test/soak README.md

.PHONY: lint
lint: $(LINT) ## Check style, and who imports whom
	$(LINT) run

$(LINT):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .bin/golangci-lint $@

.PHONY: bench
bench: ## Measure at 100, 1,000 and 10,000 proxy hosts, and the memory
	go test -run '^$$' -bench . -benchmem ./reconcile/plan/...
	go test -run '^$$' -bench . -benchtime 3x ./cmd/no502

.PHONY: fuzz
fuzz: ## Fuzz every target for a while (FUZZTIME=10s)
	@set -e; go list ./... | while read -r pkg; do \
		for target in $$(go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do \
			echo "==> $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
		done; \
	done

.PHONY: verify
verify: ## Check that the modules are those of go.sum
	go mod verify

.PHONY: audit
audit: ## Look for known vulnerabilities; .govulncheck-allow lists those that are none
	test/audit/run

.PHONY: reproducible
reproducible: ## Build the program twice, and compare
	test/reproducible

.PHONY: sbom
sbom: build ## List what the program is made of in dist/no502.sbom.json (CycloneDX)
	go run $(SBOM_TOOL) bin -json -noserial -notimestamp -version $(VERSION) -output dist/no502.sbom.json dist/image/no502

.PHONY: build
build: ## Build the program into dist/image/
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o dist/image/no502 ./cmd/no502

.PHONY: image
image: build ## Build the image (IMAGE=no502:VERSION); pulls nothing
	$(if $(CA_CERTS),install -D -m 644 -t dist/image/etc/ssl/certs $(CA_CERTS))
	docker build --target prebuilt --build-arg VERSION=$(VERSION) -t $(IMAGE) -f Dockerfile dist/image

.PHONY: clean
clean: ## Remove what make made, but for the linter
	rm -rf dist
