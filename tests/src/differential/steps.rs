//! Steps of the clocks.

/// Steps while an exchange waits, in milliseconds: none is shorter than the time between two ticks of the filter, so each worker with a
/// request ticks at each. They divide the limit of silence: Envoy's own timers of that limit end at one step, and the filter, which ends
/// what is silent for longer, at the next.
pub const STEP_MS: u64 = 125;
/// Steps in which all gateways' clocks are stepped at once.
pub const SHORT_STEPS: u64 = 10;
/// The shortest step between exchanges, in milliseconds. The filter looks for slow answers once a second, in Wasm also while there is no
/// request, and in the module when the next one comes: after a step of this time that is at one time.
pub const GAP_STEP_MS: u64 = 1000;
