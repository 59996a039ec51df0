# Everything a developer does here, one target each. The work is in deploy/dev/*.sh.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## Start everything, send a first event through, and stay in the foreground; Ctrl-C stops it all
	@deploy/dev/run.sh

.PHONY: up
up: ## The same in the background, without the sample receiver; DISPATCHERS=3 starts three dispatchers
	@deploy/dev/up.sh

.PHONY: down
down: ## Stop what run and up started, and keep the data
	@deploy/dev/down.sh

.PHONY: clean-local
clean-local: ## Stop everything and remove .local with all its data
	@deploy/dev/clean-local.sh

.PHONY: build
build: ## Build the release binaries
	@deploy/dev/build.sh

.PHONY: console
console: ## Build the web console, which the next build puts into the API
	@deploy/dev/console.sh build

.PHONY: console-test
console-test: ## Test the web console, then try it in a browser against `make up`
	@deploy/dev/console.sh test
	@deploy/dev/console.sh e2e

.PHONY: test
test: ## Run every test against private servers, which are stopped afterwards
	@deploy/dev/test.sh

.PHONY: test-up
test-up: ## Keep the tests' servers running between runs; their variables are in .local/test/test.env
	@deploy/dev/test-stack.sh up
	@cat .local/test/test.env

.PHONY: test-down
test-down: ## Stop the tests' servers and remove their data
	@deploy/dev/test-stack.sh down

.PHONY: test-guide
test-guide: ## Run the receivers of docs/receiving in all six languages; installs Go, which make test does without
	@deploy/dev/guide.sh

.PHONY: bench
bench: ## Measure every goal on private servers; WORKLOADS="fan-out-1 open-300" RUNS=1 chooses
	@deploy/dev/bench.sh

.PHONY: fuzz
fuzz: ## Fuzz every parser that reads what strangers send, for a minute each; SECONDS=600 and TARGETS="url json" choose
	@SECONDS_EACH="$(SECONDS)" deploy/dev/fuzz.sh $(TARGETS)

.PHONY: chaos
chaos: ## Break everything at random for a while, then compare the books; SEED=7 MINUTES=10 SCENARIO=failover or cluster chooses
	@deploy/dev/chaos.sh

.PHONY: lint
lint: ## Check formatting, clippy, dependencies and the scripts
	@deploy/dev/lint.sh

.PHONY: deploy-check
deploy-check: ## Check everything in deploy/, and run the image; CHECKS="compose kubernetes" chooses
	@deploy/dev/deploy-check.sh $(CHECKS)

.PHONY: deploy-render
deploy-render: ## Write anew what is made from the Helm chart: its README, the Kustomize files
	@deploy/checks/kubernetes.sh render
