"""Services under attack and through faults: `make faults`, `make soak`, a fuzzer of every rpc."""
