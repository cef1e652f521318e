"""The outside world: record schema, readers, validators, submission writers, the sample contest."""
