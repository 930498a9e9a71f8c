# `make demo` shows the tool at work, `make test` runs every test; `make soak` and `make bench` are run by hand.

EXAMPLE ?= examples/dr-fwmark-redirect
N ?= 1000

.PHONY: all setup build release demo test soak bench clean

all: build

setup:
	@tools/setup

build:
	cargo build --locked

# One file that runs on every Linux of this processor, and that lvsctl can bring along to hosts behind SSH.
release:
	@tools/build-static --release
	@echo "target/$$(rustc -vV | sed -n 's/^host: //p')/release/lvsctl"

demo: setup build
	@target/debug/lvsctl rehearse $(EXAMPLE)

test: setup
	@tools/fetch-kernel
	@tools/build-static
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked

soak: setup
	LVSCTL_SOAK=$(N) cargo test --locked --test kernel -- soak

bench: setup
	@tools/fetch-kernel
	@tools/build-static --release
	cargo bench --locked --bench kernel
	cargo bench --locked --bench ssh

clean:
	cargo clean
