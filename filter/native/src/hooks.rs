//! What Envoy calls. Envoy looks all of them up by name when it loads the module.

use crate::abi::{
    BODY_CONTINUE, BODY_STOP_AND_BUFFER, BODY_STOP_NO_BUFFER, Buffer, CONTINUE, Ptr, STOP,
};
use crate::config::Config;
use crate::envoy::{Deferred, Envoy, log, tell_counts};
use crate::{plugins, probe, ticks, worker};
use meridian_filter_core::host::{Action, Host, LogLevel, Side};
use meridian_filter_core::plugins::router::request_of;
use meridian_filter_core::plugins::{Plugin, failed};
use meridian_filter_core::worker::Worker;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

/// The version of the ABI. Envoy 1.40 has this one, and takes modules of the version before.
const ABI_VERSION: &CStr = c"v0.2.0";

/// One stream's plugin.
struct Filter {
    envoy: Ptr,
    stream: u32,
    config: Arc<Config>,
    /// Of an attempt: the stream of its request.
    request: Option<u32>,
    /// Of a request to a provider: its path as it came. The plugin changes it, and the caller's API with it.
    path: Option<String>,
    /// `None` after the end.
    plugin: Option<Box<dyn Plugin>>,
    /// It has panicked: it is asked for nothing more but what it says in the access log.
    has_failed: bool,
}

/// What a hook has decided.
struct Decided {
    action: Action,
    /// The stream was answered from here.
    is_answered: bool,
}

/// Runs a plugin's hook, then what it has deferred. After a panic the stream is answered with an error, unless it is over.
///
/// # Safety
/// `filter` is of [`envoy_dynamic_module_on_http_filter_new`], and not destroyed yet.
unsafe fn run(
    filter: *const c_void,
    hook: impl FnOnce(&mut dyn Plugin, &Envoy<'_>, &mut Worker) -> Action,
) -> Decided {
    // SAFETY: the caller's promise.
    unsafe { run_at(filter, false, hook) }
}

/// The same. `is_over`: Envoy is done with the stream.
///
/// # Safety
/// As of [`run`].
unsafe fn run_at(
    filter: *const c_void,
    is_over: bool,
    hook: impl FnOnce(&mut dyn Plugin, &Envoy<'_>, &mut Worker) -> Action,
) -> Decided {
    let (action, deferred) = {
        // SAFETY: Envoy calls no other hook of this stream before the deferred calls below.
        let filter = unsafe { &mut *filter.cast_mut().cast::<Filter>() };
        let host = if is_over && filter.config.is_of_attempts() {
            Envoy::of_ended(filter.envoy, filter.stream, &filter.config, filter.request)
        } else {
            Envoy::of(filter.envoy, filter.stream, &filter.config)
        };
        let plugin = filter.plugin.as_mut();
        let action = plugin.filter(|_| is_over || !filter.has_failed);
        let action = action.map(|plugin| {
            let hook = || {
                worker::with(&filter.config, |worker| {
                    hook(plugin.as_mut(), &host, worker)
                })
            };
            catch_unwind(AssertUnwindSafe(hook))
        });
        match action {
            Some(Ok(action)) => (action, host.deferred()),
            // Nothing of the stream goes on but what Envoy answers itself.
            None => (Action::Withhold, Vec::new()),
            Some(Err(_)) => {
                let has_ended = std::mem::replace(&mut filter.has_failed, true);
                let plugin = filter.plugin.as_mut().filter(|_| !has_ended);
                give_back(&host, &filter.config, plugin);
                answer_failure(&host, &filter.config, filter.path.as_deref());
                let answer = host.deferred();
                (Action::Withhold, if is_over { Vec::new() } else { answer })
            }
        }
    };
    let is_answered = deferred
        .iter()
        .any(|deferred| matches!(deferred, Deferred::Reply { .. }));
    for deferred in deferred {
        deferred.run();
    }
    Decided {
        action,
        is_answered,
    }
}

/// The stream of the request that a stream is an attempt of. `None` if a Wasm plugin has routed it, as before a move: its streams have numbers
/// of their own.
fn request_of_attempt(attempt: &Envoy<'_>, config: &Config) -> Option<u32> {
    let (number, stream) = request_of(attempt)?;
    let filter = worker::downstream_filter_of(stream)?;
    let request = request_of(&Envoy::of(filter, stream, config));
    (request == Some((number, stream))).then_some(stream)
}

/// After a panic: what the plugin holds of the worker's state, such as its part of the bodies, is given back. What else it wanted is
/// forgotten.
fn give_back(host: &Envoy<'_>, config: &Config, plugin: Option<&mut Box<dyn Plugin>>) {
    if let Some(plugin) = plugin {
        let done = || worker::with(config, |worker| plugin.on_done(host, worker));
        // A second panic changes nothing more.
        let _ = catch_unwind(AssertUnwindSafe(done));
    }
    drop(host.deferred());
}

/// Counts a panic, and answers the request with an error.
fn answer_failure(host: &Envoy<'_>, config: &Config, path: Option<&str>) {
    let answer = || worker::with(config, |worker| failed(host, worker, &config.root, path));
    // Whatever else fails here: the stream ends.
    if catch_unwind(AssertUnwindSafe(answer)).is_err() {
        host.end_this();
    }
}

/// Runs the worker's tick, if it is due. It may end the stream of this filter, too.
///
/// # Safety
/// `filter` is of [`envoy_dynamic_module_on_http_filter_new`], and not destroyed yet.
unsafe fn tick(envoy: Ptr, filter: *const c_void) {
    // SAFETY: the caller's promise.
    let (stream, config) = unsafe {
        let filter = &*filter.cast::<Filter>();
        (filter.stream, filter.config.clone())
    };
    if config.is_egress() || !worker::is_due() {
        return;
    }
    let host = Envoy::of(envoy, stream, &config);
    let has_run = worker::has_run();
    let tick = || {
        worker::with(&config, |worker| {
            probe::tick();
            if has_run {
                worker.has_run(&host);
            }
            worker.tick(&host);
        });
    };
    if catch_unwind(AssertUnwindSafe(tick)).is_err() {
        let count = || worker::with(&config, |worker| worker.metrics.panic(&host, "tick"));
        let _ = catch_unwind(AssertUnwindSafe(count));
    }
    tell_counts();
    for deferred in host.deferred() {
        deferred.run();
    }
}

impl Decided {
    fn of_headers(self) -> u32 {
        match self.action {
            _ if self.is_answered => STOP,
            Action::Continue => CONTINUE,
            Action::Pause | Action::Withhold => STOP,
        }
    }

    fn of_body(self) -> u32 {
        match self.action {
            _ if self.is_answered => BODY_STOP_NO_BUFFER,
            Action::Continue => BODY_CONTINUE,
            Action::Pause => BODY_STOP_AND_BUFFER,
            Action::Withhold => BODY_STOP_NO_BUFFER,
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    panic::set_hook(Box::new(|panic| {
        log(LogLevel::Error, &format!("meridian: {panic}"));
    }));
    ABI_VERSION.as_ptr()
}

/// Null makes Envoy reject the configuration and keep the one before.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: Ptr,
    name: Buffer,
    policy: Buffer,
) -> *const c_void {
    let new = || {
        // SAFETY: Envoy's own bytes, copied before this hook ends.
        let (name, policy) = unsafe { (name.bytes(), policy.bytes()) };
        let config = Config::new(envoy, name, policy);
        let configured = plugins::configured(&config)?;
        if let Some(period) = configured.tick_period() {
            ticks::at_least_every(period);
        }
        Some(Arc::new(config))
    };
    match catch_unwind(new) {
        Ok(Some(config)) => Arc::into_raw(config).cast(),
        _ => ptr::null(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void) {
    // SAFETY: of `config_new`; Envoy calls this once.
    drop(unsafe { Arc::from_raw(config.cast::<Config>()) });
}

/// Null makes Envoy refuse the stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const c_void,
    envoy: Ptr,
) -> *const c_void {
    let new = || {
        // SAFETY: of `config_new`, and not destroyed yet: Envoy's filter holds Envoy's configuration.
        let config = unsafe {
            Arc::increment_strong_count(config.cast::<Config>());
            Arc::from_raw(config.cast::<Config>())
        };
        let stream = worker::begin(envoy, &config);
        let plugin = catch_unwind(AssertUnwindSafe(|| plugins::plugin(&config, stream)));
        let plugin = plugin.ok().flatten();
        Box::new(Filter {
            envoy,
            stream,
            plugin: plugin.or_else(|| Some(plugins::unmade(&config))),
            config,
            request: None,
            path: None,
            has_failed: false,
        })
    };
    match catch_unwind(AssertUnwindSafe(new)) {
        Ok(filter) => Box::into_raw(filter).cast_const().cast(),
        Err(_) => ptr::null(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: *const c_void) {
    // SAFETY: of `filter_new`; Envoy calls this once, and no hook of the filter after it.
    unsafe {
        end(filter);
        let filter = Box::from_raw(filter.cast_mut().cast::<Filter>());
        // Streams may be complete together, and one of them is destroyed last.
        if worker::is_last_downstream(filter.stream) {
            tell_counts();
        }
        if let Some(request) = filter.request {
            worker::attempt_ends(request, filter.stream);
        }
        worker::end(filter.stream);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: Ptr,
    filter: *const c_void,
    ends: bool,
) -> u32 {
    // SAFETY: of `filter_new`, and not destroyed yet. No tick ends a stream that has just begun.
    unsafe {
        tick(envoy, filter);
        let begun = &mut *filter.cast_mut().cast::<Filter>();
        if begun.config.is_of_attempts() {
            let host = Envoy::of(envoy, begun.stream, &begun.config);
            let request = || request_of_attempt(&host, &begun.config);
            begun.request = catch_unwind(AssertUnwindSafe(request)).ok().flatten();
            if let Some(request) = begun.request {
                worker::attempt_begins(request, begun.stream, filter);
            }
        }
        if begun.config.is_egress() {
            let host = Envoy::of(envoy, begun.stream, &begun.config);
            let path = host.header(Side::Request, ":path");
            begun.path = path.and_then(|path| String::from_utf8(path).ok());
        }
        run(filter, |plugin, host, worker| {
            plugin.on_request_headers(host, worker, ends)
        })
        .of_headers()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    _: Ptr,
    filter: *const c_void,
    ends: bool,
) -> u32 {
    let hook = |plugin: &mut dyn Plugin, host: &Envoy<'_>, worker: &mut Worker| {
        let size = host.body_size(Side::Request);
        plugin.on_request_body(host, worker, size, ends)
    };
    // SAFETY: of `filter_new`, and not destroyed yet.
    unsafe { run(filter, hook).of_body() }
}

/// A body that is followed by trailers ends here.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    _: Ptr,
    filter: *const c_void,
) -> u32 {
    // SAFETY: of `filter_new`, and not destroyed yet.
    unsafe {
        run(filter, |plugin, host, worker| {
            plugin.on_request_trailers(host, worker)
        })
        .of_headers()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    _: Ptr,
    filter: *const c_void,
    ends: bool,
) -> u32 {
    // SAFETY: of `filter_new`, and not destroyed yet.
    unsafe {
        run(filter, |plugin, host, worker| {
            plugin.on_response_headers(host, worker, ends)
        })
        .of_headers()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _: Ptr,
    filter: *const c_void,
    ends: bool,
) -> u32 {
    let hook = |plugin: &mut dyn Plugin, host: &Envoy<'_>, worker: &mut Worker| {
        let size = host.body_size(Side::Response);
        plugin.on_response_body(host, worker, size, ends)
    };
    // SAFETY: of `filter_new`, and not destroyed yet.
    unsafe { run(filter, hook).of_body() }
}

/// A body that is followed by trailers ends here.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _: Ptr,
    filter: *const c_void,
) -> u32 {
    // SAFETY: of `filter_new`, and not destroyed yet.
    unsafe {
        run(filter, |plugin, host, worker| {
            plugin.on_response_trailers(host, worker)
        })
        .of_headers()
    }
}

/// A plugin's stream is over.
///
/// # Safety
/// As of [`run`].
unsafe fn end(filter: *const c_void) {
    let done = |plugin: &mut dyn Plugin, host: &Envoy<'_>, worker: &mut Worker| {
        plugin.on_done(host, worker);
        Action::Continue
    };
    // SAFETY: the caller's promise.
    unsafe {
        if !(*filter.cast::<Filter>()).has_failed {
            run_at(filter, true, done);
        }
        (*filter.cast_mut().cast::<Filter>()).plugin = None;
    }
}

/// The stream's access log is about to be written. What attempts of it are not over end now: Envoy ends them next, and then they would not
/// be in the log.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _: Ptr,
    filter: *const c_void,
) {
    let hook = |plugin: &mut dyn Plugin, host: &Envoy<'_>, worker: &mut Worker| {
        plugin.on_log(host, worker);
        Action::Continue
    };
    // SAFETY: of `filter_new`, and not destroyed yet, as are attempts that are not over.
    unsafe {
        let stream = (*filter.cast::<Filter>()).stream;
        for attempt in worker::attempts_of(stream) {
            end(attempt);
        }
        run_at(filter, true, hook);
    }
}

/// A tick.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    envoy: Ptr,
    filter: *const c_void,
    _: u64,
) {
    // SAFETY: of `filter_new`, and not destroyed yet.
    unsafe { tick(envoy, filter) };
}

/// Hooks of what the module never starts. Envoy wants them all the same; their arguments differ, and none is read.
macro_rules! unused {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() {}
        )*
    };
}

unused! {
    envoy_dynamic_module_on_http_filter_http_callout_done
    envoy_dynamic_module_on_http_filter_http_stream_headers
    envoy_dynamic_module_on_http_filter_http_stream_data
    envoy_dynamic_module_on_http_filter_http_stream_trailers
    envoy_dynamic_module_on_http_filter_http_stream_complete
    envoy_dynamic_module_on_http_filter_http_stream_reset
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark
}
