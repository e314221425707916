# What a developer of boltgate runs. `make demo` and `make test` need Go and make only; what else a target wants is named at it.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS   = -s -w -X main.version=$(VERSION)
FUZZTIME ?= 10s
UNITS     = $(shell $(GO) list ./... | grep -v /test/e2e)

export CGO_ENABLED = 0

.PHONY: chaos contenders soak simulate mutants profile bench-quick build demo test test-unit test-servers check lint race fuzz cross bench docs clean

build: ## the program, into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/boltgate ./cmd/boltgate

demo: build ## the gate in front of a stand-in cluster of three members and a replica
	bin/boltgate demo

test: test-unit test-servers ## all tests

test-unit: ## unit tests, and everything that runs on stand-ins
	$(GO) test -timeout 15m $(UNITS)

test-servers: ## real servers and real drivers; wants Java, Maven, Python, Node and Chromium, and says loudly what it skips without them
	$(GO) test -timeout 45m -count 1 -v ./test/e2e

CHAOS ?= 5

chaos: ## real clusters through faults, CHAOS rounds of each (ci: what CI runs), with every value accounted for; wants Java and Maven, and root for partitions
	BOLTGATE_CHAOS=$(CHAOS) $(GO) test -timeout $(if $(filter ci,$(CHAOS)),65m,8h) -count 1 -v -run '^(TestChaos|TestPartitions)$$' ./test/chaos

contenders: CHAOS = 1
contenders: ## the leader killed with boltgate, the driver alone and HAProxy in between, CHAOS rounds of each (1), for docs/reliability.md; wants Java, Maven and HAProxy
	BOLTGATE_CHAOS=$(CHAOS) $(GO) test -timeout 2h -count 1 -v -run '^TestContenders$$' ./test/chaos

simulate: ## the simulator through 2,000 seeds, then the bugs that are planted to try it
	BOLTGATE_SEEDS=2000 $(GO) test -timeout 2h -count 1 -run TestTheRulesHold ./test/sim
	$(MAKE) mutants

mutants: ## each bug that is planted to try the simulator is found out
	$(GO) test -tags mutants -timeout 1h -count 1 -v -run '^TestEveryMutantIsCaught$$' ./test/sim

soak: ## the gate for half an hour under work and faults: what it holds stays what it was
	BOLTGATE_SOAK=30m $(GO) test -timeout 45m -count 1 -v -run '^TestSoak$$' ./test/soak

check: lint race fuzz cross ## what a reviewer runs

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags mutants ./internal/mutant ./test/sim
	$(GO) tool staticcheck ./...

race: ## the tests on stand-ins under the race detector; wants a C compiler
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m $(UNITS)

fuzz: ## every fuzz target for FUZZTIME
	@GO=$(GO) test/fuzz.sh $(FUZZTIME)

cross: ## the builds that are shipped
	GOOS=linux GOARCH=amd64 $(GO) build -o /dev/null ./cmd/boltgate
	GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/boltgate
	GOOS=linux GOARCH=arm GOARM=6 $(GO) build -o /dev/null ./cmd/boltgate
	GOOS=linux GOARCH=arm GOARM=7 $(GO) build -o /dev/null ./cmd/boltgate

bench: ## boltgate beside HAProxy (Debian package) and beside no proxy, against instant servers and a real one; 2 cores, some 20 minutes
	BOLTGATE_BENCH=full BOLTGATE_BENCH_OUT=$(CURDIR)/bench.json $(GO) test -count=1 -v -timeout 60m -run "^TestComparison$$" ./bench

bench-quick: ## the same in short runs: for trying, not for figures to keep
	BOLTGATE_BENCH=quick $(GO) test -count=1 -v -timeout 20m -run "^TestComparison$$" ./bench

profile: build ## writes cmd/boltgate/default.pgo anew, by which the compiler lays out the data path; 2 cores that are free, 40 seconds
	test/profile.sh bin/boltgate

docs: ## writes docs/compatibility.md from a run of all drivers against all servers
	BOLTGATE_WRITE_DOCS=1 $(GO) test -timeout 45m -count 1 -v ./test/e2e

clean:
	rm -rf bin bench.json
