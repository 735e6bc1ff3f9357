# The commands of KIOPS. The first two build in the dev profile.

.PHONY: bench conformance run test

run: ## Prepare a Docker engine, then start the server
	@scripts/engine.sh
	cargo run -- serve

test: ## Prepare what the tests need, then check and test everything
	@scripts/test.sh

conformance: ## Hold the built program to tools of others, from npm and PyPI
	@scripts/conformance.sh

bench: ## Measure the release build beside others, in one run each
	@scripts/bench.sh
