"""What tests of other layers need of this one: inputs and properties for the fuzzer."""
