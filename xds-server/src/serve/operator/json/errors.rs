//! What handlers answer besides what was wanted, for the document.
#![allow(dead_code)] // Only the macro reads them.

use super::super::failure::Refused;
use utoipa::IntoResponses;

/// Answers to every request whose caller may not send it.
#[derive(IntoResponses)]
pub(in crate::serve) enum Refusing {
    /// The caller is not known: no token or client certificate, or one that does not count.
    #[response(status = 401)]
    NoCaller(Refused),
    /// The caller may not do this.
    #[response(status = 403)]
    NotAllowed(Refused),
}

/// The store cannot be used.
#[derive(IntoResponses)]
pub(in crate::serve) enum Failed {
    /// The store cannot be read or written, or the control plane is going away. Nothing has changed, unless the error says that it is not known.
    #[response(status = 503)]
    Unavailable(Refused),
}

/// Answers to bodies that cannot be understood.
#[derive(IntoResponses)]
pub(in crate::serve) enum Malformed {
    /// A parameter is wrong, or the body is not JSON.
    #[response(status = 400)]
    NotJson(Refused),
    /// The body is larger than 2 MiB.
    #[response(status = 413)]
    TooLarge(Refused),
    /// The content type is not `application/json`.
    #[response(status = 415)]
    OtherType(Refused),
    /// The body is JSON and not such a request, or it names what the fleet does not have.
    #[response(status = 422)]
    Invalid(Refused),
}

/// There is no such intent.
#[derive(IntoResponses)]
pub(in crate::serve) enum Unknown {
    /// There is no such intent.
    #[response(status = 404)]
    NoSuchIntent(Refused),
    /// The intent has ended: it was undone or replaced, or its time is over.
    #[response(status = 410)]
    Ended(Refused),
}
