//! The request bodies that a worker holds, so that large ones do not use up the memory of all requests.

/// A body of up to this many bytes is always taken, so that large bodies keep no ordinary request out. A prompt of 200,000 tokens of
/// text is shorter.
pub const ORDINARY: u64 = 1 << 20;

/// The request bodies that a worker holds.
#[derive(Debug, Default)]
pub struct Bodies {
    /// In bytes.
    held: u64,
}

/// What is held of one body, in bytes.
#[derive(Debug, Default)]
pub struct HeldBody(u64);

impl Bodies {
    /// `size` bytes of a body are held now. `false` if all bodies together are larger than `limit`, and this one is not ordinary.
    pub fn hold(&mut self, body: &mut HeldBody, size: usize, limit: Option<u64>) -> bool {
        self.release(body);
        body.0 = u64::try_from(size).unwrap_or(u64::MAX);
        self.held = self.held.saturating_add(body.0);
        body.0 <= ORDINARY || limit.is_none_or(|limit| self.held <= limit)
    }

    /// What is held, in bytes.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Nothing of a body is held any longer.
    pub fn release(&mut self, body: &mut HeldBody) {
        self.held -= std::mem::take(&mut body.0);
    }
}
