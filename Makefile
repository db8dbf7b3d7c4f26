# The two commands of the README are `make run` and `make test`; both do their own set-up.

.PHONY: all build ui ui-types run test compatibility test-rust test-ui bench bench-ui clean-services help

all: build

# The release binary with the dashboard inside, at target/release/prefect-rs.
build: ui
	cargo build --release --locked

# The dashboard is built before the binary, since the binary embeds ui-static/dist.
ui: ui-static/dist/index.html

ui-static/node_modules/.package-lock.json: ui-static/package-lock.json
	@tests/support/node.sh
	cd ui-static && npm ci --silent --no-audit --no-fund
	@touch $@

ui-static/dist/index.html: ui-static/node_modules/.package-lock.json $(shell find ui-static -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/tests/*')
	cd ui-static && npm run --silent build
	@touch $@

# The document from which the dashboard's types are generated, after a change of its routes.
ui-types:
	PREFECT_RS_WRITE_OPENAPI=1 cargo test --locked --lib openapi

# The table of operations in COMPATIBILITY.md, after a change of routes or of stories.
compatibility:
	PREFECT_RS_WRITE_COMPATIBILITY=1 cargo test --locked --test api coverage

# A server, the example deployments, runs of them, a queue and an agent; ends at Ctrl-C.
# ONCE=1 ends after the first green runs, PORT=n and PREFECT_HOME=dir do what they say.
# The binary and the flow that the story deploys are built in one go: alone, the flow would have its
# libraries with other features, and so the largest of them built twice.
run: ui
	cargo build --release --locked --bin prefect-rs --example tutorial
	@examples/run.sh

# Everything that can be proven here: lints, both databases, genuine clients, the dashboard.
test:
	@tests/support/check.sh

# The Rust tests alone, with whatever is set up already.
test-rust:
	cargo test --locked

test-ui:
	@if [ -f ui-static/package.json ]; then tests/support/ui.sh; fi

# Beside the genuine servers; see BENCHMARKS.md.
bench: build
	@tests/bench/compare.py
	@tests/bench/flows.py --write
	@tests/bench/clients.py --write

# The dashboards' first pages in a browser, beside the genuine ones.
bench-ui: build
	@tests/bench/ui.py --write

# Ends what an interrupted test run may have left running.
clean-services:
	@tests/support/postgres.sh stop

help:
	@grep -B2 -E '^[a-z-]+:' Makefile | grep -E '^(#|[a-z-]+:)'
