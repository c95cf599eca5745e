//! Files that are read again and again, and may be read while somebody writes them.

/// What was read, and what of it was taken or refused last.
#[derive(Debug)]
pub struct Settled<T> {
    /// What the last poll read.
    polled: Result<T, String>,
    /// What was taken or refused last.
    judged: Result<T, String>,
}

impl<T: Clone + PartialEq> Settled<T> {
    /// Begins with what was read and taken at the start.
    pub fn new(taken: T) -> Self {
        Self {
            polled: Ok(taken.clone()),
            judged: Ok(taken),
        }
    }

    /// What was read, once it is new and was the same at two polls.
    pub fn poll(&mut self, read: Result<T, String>) -> Option<Result<T, String>> {
        let is_settled = self.polled == read;
        self.polled = read;
        if !is_settled || self.judged == self.polled {
            return None;
        }
        self.judged = self.polled.clone();
        Some(self.judged.clone())
    }
}
