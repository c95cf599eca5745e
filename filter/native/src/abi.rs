//! What is used of Envoy's C ABI for dynamic modules (`source/extensions/dynamic_modules/abi/abi.h` in Envoy's sources, version v0.2.0):
//! types, then the functions that Envoy exports. What Envoy calls is in [`crate::hooks`].

use std::ffi::c_void;
use std::{ptr, slice};

/// An object of Envoy's.
pub type Ptr = *mut c_void;

/// Bytes of the module's or Envoy's: an address and a length.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    data: *const u8,
    length: usize,
}

impl Buffer {
    /// No bytes at no address. As a header's value it removes the header.
    pub const NONE: Self = Self {
        data: ptr::null(),
        length: 0,
    };

    /// These bytes. They must stay where they are for as long as Envoy reads them, which is to the end of a call.
    pub const fn of(bytes: &[u8]) -> Self {
        Self {
            data: bytes.as_ptr(),
            length: bytes.len(),
        }
    }

    /// The bytes.
    ///
    /// # Safety
    /// They are Envoy's, of the present hook, and Envoy has changed nothing since it told the address.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { slice::from_raw_parts(self.data, self.length) }
    }
}

/// A header of the module's or Envoy's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    pub name: Buffer,
    pub value: Buffer,
}

/// Maps of headers.
pub const REQUEST_HEADERS: u32 = 0;
pub const REQUEST_TRAILERS: u32 = 1;
pub const RESPONSE_HEADERS: u32 = 2;
pub const RESPONSE_TRAILERS: u32 = 3;

/// Bodies. What came is there in the hook of a body only.
pub const RECEIVED_REQUEST_BODY: u32 = 0;
pub const BUFFERED_REQUEST_BODY: u32 = 1;
pub const RECEIVED_RESPONSE_BODY: u32 = 2;
pub const BUFFERED_RESPONSE_BODY: u32 = 3;

/// What becomes of a stream after a hook of headers or trailers.
pub const CONTINUE: u32 = 0;
pub const STOP: u32 = 1;
/// The same after a hook of a body.
pub const BODY_CONTINUE: u32 = 0;
pub const BODY_STOP_AND_BUFFER: u32 = 1;
pub const BODY_STOP_NO_BUFFER: u32 = 3;

/// Attributes, by their place in `envoy_dynamic_module_type_attribute_id`.
pub const RESPONSE_CODE_DETAILS: u32 = 16;
pub const RESPONSE_FLAGS: u32 = 17;
pub const SOURCE_ADDRESS: u32 = 24;
pub const URI_SAN_PEER_CERTIFICATE: u32 = 37;
pub const UPSTREAM_ADDRESS: u32 = 41;
pub const UPSTREAM_TRANSPORT_FAILURE_REASON: u32 = 52;
pub const ROUTE_NAME: u32 = 61;

/// Whose metadata is read: the upstream endpoint's.
pub const METADATA_OF_HOST: u32 = 3;

/// Log levels.
pub const WARN: u32 = 3;
pub const ERROR: u32 = 4;

/// Why a stream is reset.
pub const LOCAL_RESET: u32 = 0;

/// What a call about metrics returns where it succeeds.
pub const SUCCESS: u32 = 0;

unsafe extern "C" {
    pub fn envoy_dynamic_module_callback_log(level: u32, message: Buffer);

    pub fn envoy_dynamic_module_callback_http_get_header(
        filter: Ptr,
        map: u32,
        name: Buffer,
        value: *mut Buffer,
        index: usize,
        count: *mut usize,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_get_headers_size(filter: Ptr, map: u32) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_headers(
        filter: Ptr,
        map: u32,
        headers: *mut Header,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_set_header(
        filter: Ptr,
        map: u32,
        name: Buffer,
        value: Buffer,
    ) -> bool;

    pub fn envoy_dynamic_module_callback_http_get_body_size(filter: Ptr, body: u32) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_body_chunks_size(filter: Ptr, body: u32)
    -> usize;
    pub fn envoy_dynamic_module_callback_http_get_body_chunks(
        filter: Ptr,
        body: u32,
        chunks: *mut Buffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_append_body(
        filter: Ptr,
        body: u32,
        bytes: Buffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_drain_body(
        filter: Ptr,
        body: u32,
        bytes: usize,
    ) -> bool;

    pub fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: Ptr,
        attribute: u32,
        value: *mut Buffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: Ptr,
        attribute: u32,
        value: *mut u64,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_get_metadata_string(
        filter: Ptr,
        source: u32,
        namespace: Buffer,
        key: Buffer,
        value: *mut Buffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: Ptr,
        key: Buffer,
        value: Buffer,
    ) -> bool;

    pub fn envoy_dynamic_module_callback_http_send_response(
        filter: Ptr,
        status: u32,
        headers: *const Header,
        count: usize,
        body: Buffer,
        details: Buffer,
    );
    pub fn envoy_dynamic_module_callback_http_filter_reset_stream(
        filter: Ptr,
        reason: u32,
        details: Buffer,
    );
    pub fn envoy_dynamic_module_callback_http_filter_continue_encoding(filter: Ptr);
    pub fn envoy_dynamic_module_callback_http_clear_route_cache(filter: Ptr);

    pub fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: Ptr,
        name: Buffer,
        labels: *const Buffer,
        count: usize,
        id: *mut usize,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: Ptr,
        name: Buffer,
        labels: *const Buffer,
        count: usize,
        id: *mut usize,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_config_define_histogram(
        config: Ptr,
        name: Buffer,
        labels: *const Buffer,
        count: usize,
        id: *mut usize,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_config_increment_counter(
        config: Ptr,
        id: usize,
        values: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_config_increment_gauge(
        config: Ptr,
        id: usize,
        values: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: Ptr,
        id: usize,
        values: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_set_gauge(
        filter: Ptr,
        id: usize,
        values: *const Buffer,
        count: usize,
        to: u64,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_record_histogram_value(
        filter: Ptr,
        id: usize,
        values: *const Buffer,
        count: usize,
        value: u64,
    ) -> u32;

    pub fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: Ptr) -> Ptr;
    pub fn envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: Ptr, event: u64);
    pub fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: Ptr);
}
