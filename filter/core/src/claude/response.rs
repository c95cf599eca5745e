//! The way back: an answer of whoever runs Claude becomes one in the API that the caller speaks.

use super::chat::Chat;
use super::completion::completion;
use super::stream::Stream;
use super::usage::Usage;
use super::{bedrock, error};
use meridian_policy::egress_policy::ClaudeHost;
use serde_json::Value;

/// How a request was made, as far as its answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseContext {
    /// Who answers.
    pub host: ClaudeHost,
    /// Which API the caller speaks.
    pub caller: CallerApi,
    /// Whether the answer is to be streamed.
    pub stream: bool,
}

/// Which API a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerApi {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Chat Completions.
    Chat {
        /// Whether a stream's usage is wanted, in a chunk of its own.
        include_usage: bool,
    },
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct TranslatedResponse {
    /// Its HTTP status.
    pub status: u16,
    /// The JSON that its body becomes; `None` leaves it as it is, which is an answer of 200 only.
    pub body: Option<Value>,
    /// What it took.
    pub usage: Usage,
}

impl ResponseContext {
    /// An answer that comes in pieces, at a time in seconds since the Unix epoch. `None`: by its status it is in one piece.
    pub fn stream(&self, status: u16, now: u64) -> Option<Stream> {
        let chat = match self.caller {
            CallerApi::Messages => None,
            CallerApi::Chat { include_usage } => Some(Chat::new(now, include_usage)),
        };
        (self.stream && status == 200).then(|| Stream::new(self.host, chat))
    }

    /// An answer in one piece, at a time in seconds since the Unix epoch. `error_name`: that of AWS's header, if it has one. What an
    /// error says goes on where it is about the request; what it says of our account does not.
    pub fn whole(
        &self,
        status: u16,
        error_name: &str,
        body: &[u8],
        now: u64,
    ) -> TranslatedResponse {
        if status == 200 {
            return self.answered(body, now);
        }
        let aws =
            (self.host == ClaudeHost::Bedrock).then(|| bedrock::error(status, error_name, body));
        let aws = aws.map(|(status, said)| (status, said.to_string().into_bytes()));
        let (status, said) = match &aws {
            Some((status, said)) => (*status, said.as_slice()),
            None => (status, body),
        };
        let (status, made) = match self.caller {
            CallerApi::Messages => error::messages(status, said),
            CallerApi::Chat { .. } => error::error(status, said),
        };
        TranslatedResponse {
            status,
            body: Some(made),
            usage: Usage::default(),
        }
    }

    fn answered(&self, body: &[u8], now: u64) -> TranslatedResponse {
        let (status, made, usage) = match self.caller {
            CallerApi::Messages => (200, None, Usage::of(body)),
            CallerApi::Chat { .. } => match completion(body, now) {
                Some((made, usage)) => (200, Some(made), usage),
                // Something is there, and no answer.
                None => {
                    let (status, made) = error::error(502, body);
                    (status, Some(made), Usage::default())
                }
            },
        };
        TranslatedResponse {
            status,
            body: made,
            usage,
        }
    }
}
