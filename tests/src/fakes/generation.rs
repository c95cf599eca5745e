/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finish {
    Stop,
    Length,
    Abort,
}

impl Finish {
    pub(super) fn openai(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Abort => "abort",
        }
    }
}

/// What one request makes a fake say, before an API puts it into its own words.
pub(super) struct Generation<'a> {
    pub(super) server: &'a str,
    pub(super) model: &'a str,
    pub(super) id: u64,
    /// Unix seconds.
    pub(super) created: u64,
    pub(super) tokens: usize,
    pub(super) finish: Finish,
    pub(super) prompt_tokens: usize,
    pub(super) include_usage: bool,
}

impl Generation<'_> {
    pub(super) fn token(&self, index: usize) -> String {
        if index == 0 {
            format!("{} token0", self.server)
        } else {
            format!(" token{index}")
        }
    }

    pub(super) fn text(&self) -> String {
        (0..self.tokens).map(|index| self.token(index)).collect()
    }

    /// Whether the answer ends with the token at `index`.
    pub(super) fn is_last(&self, index: usize) -> bool {
        index + 1 == self.tokens
    }

    pub(super) fn total_tokens(&self) -> usize {
        self.prompt_tokens + self.tokens
    }

    pub(super) fn fingerprint(&self) -> String {
        quoted(&format!("fake-{}", self.server))
    }
}

/// The server-sent events of one answer, ready to be written one by one.
pub(super) struct Events {
    pub(super) opening: Vec<String>,
    /// One per token.
    pub(super) tokens: Vec<String>,
    pub(super) closing: Vec<String>,
    /// How this API ends a stream after an error event.
    pub(super) end: Option<String>,
}

pub(super) fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

pub(super) fn event(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

/// A JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
