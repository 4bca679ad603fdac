# Two commands are all a newcomer needs; each does its own set-up.
#
#   make demo                   an empty machine becomes a running Debian, over the network
#   make demo FIRMWARE=uefi     the same with UEFI firmware
#   make test                   every test this machine can run

FIRMWARE ?= bios

.PHONY: demo test setup build

demo: build
	target/debug/hostwright lab demo --firmware $(FIRMWARE)

test:
	packaging/setup tests
	cargo xtask ci

build: setup
	cargo build --locked --package hostwright
	cargo xtask agent

setup:
	packaging/setup
