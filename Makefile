# The two commands of KIOPS. Both build in the dev profile.

.PHONY: run test

run: ## Prepare a Docker engine, then start the server
	@scripts/engine.sh
	cargo run -- serve

test: ## Prepare what the tests need, then check and test everything
	@scripts/test.sh
