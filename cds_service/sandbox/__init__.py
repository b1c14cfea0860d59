"""The sandbox EHR of `sightline demo` and of the tests: small, strict, standards only."""
