//! Fakes of inference servers and providers.
