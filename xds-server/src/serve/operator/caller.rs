//! Who sends a request to the API, and what it may do.

use super::failure::Failure;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It may read.
    Read,
    /// It may read and change.
    Operate,
}

/// A caller whose identity was checked. It may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For the record: its name, if it has one, and its address.
    pub from: String,
    /// What it may do.
    pub role: Role,
}

/// A caller that may change something.
#[derive(Debug)]
pub struct OperatingCaller {
    pub(super) from: String,
}

impl Caller {
    /// The caller, if it may change something.
    pub(super) fn operating(self) -> Result<OperatingCaller, Failure> {
        match self.role {
            Role::Operate => Ok(OperatingCaller { from: self.from }),
            Role::Read => {
                let error = format!(
                    "{} has the role `read`; a change needs `operate`",
                    self.from
                );
                Err(Failure::new(StatusCode::FORBIDDEN, error))
            }
        }
    }
}
