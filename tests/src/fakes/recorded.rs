use bytes::Bytes;
use serde::{Serialize, Serializer};

/// One request as it reached the data port.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// HTTP method.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Headers in the order of arrival, names in lower case; bytes outside UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The whole body; as JSON it is text, bytes outside UTF-8 replaced.
    #[serde(serialize_with = "lossy")]
    pub body: Bytes,
    /// What was done: a status such as `200`, `reset`, `hang`, `cut` or `error_event`;
    /// `gone` if the connection ended before a 200 was complete.
    pub answered: String,
}

impl Recorded {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

fn lossy<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

/// Recorded requests, numbered so that one can be found again after others were forgotten.
#[derive(Default)]
pub(super) struct Log {
    next: u64,
    entries: Vec<(u64, Recorded)>,
}

impl Log {
    pub(super) fn push(&mut self, recorded: Recorded) -> u64 {
        self.next += 1;
        self.entries.push((self.next, recorded));
        self.next
    }

    pub(super) fn gone(&mut self, number: u64) {
        if let Some((_, recorded)) = self.entries.iter_mut().find(|(n, _)| *n == number)
            && recorded.answered == "200"
        {
            recorded.answered = "gone".to_owned();
        }
    }

    pub(super) fn all(&self) -> Vec<Recorded> {
        self.entries
            .iter()
            .map(|(_, recorded)| recorded.clone())
            .collect()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
