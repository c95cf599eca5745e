//! Translates the responses of Claude's hosts into the API of the caller.

use super::chat::Chat;
use super::completion::completion;
use super::responses::{self, Echo, Responses};
use super::stream::{Stream, Translator};
use super::usage::Usage;
use super::{bedrock, error};
use meridian_policy::egress_policy::ClaudeHost;
use serde_json::Value;
use std::rc::Rc;

/// The facts of a request that the translation of its response needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseContext {
    /// The host that responds.
    pub host: ClaudeHost,
    /// The API of the caller.
    pub caller: CallerApi,
    /// Whether the response is streamed.
    pub stream: bool,
}

/// The API of a caller.
#[derive(Clone, Debug, PartialEq)]
pub enum CallerApi {
    /// Anthropic's Messages API.
    Messages,
    /// OpenAI's Chat Completions API.
    Chat {
        /// Whether the caller wants a usage chunk in a stream.
        include_usage: bool,
    },
    /// OpenAI's Responses API, with what the response needs of the request.
    Responses(Rc<Echo>),
}

/// A translated response that is not streamed.
#[derive(Clone, Debug, PartialEq)]
pub struct TranslatedResponse {
    /// The HTTP status.
    pub status: u16,
    /// The JSON of the new body. `None`: the body, of a response with status 200, stays.
    pub body: Option<Value>,
    /// The usage that the response reports.
    pub usage: Usage,
}

impl ResponseContext {
    /// Starts the translation of a streamed response. `now`: seconds since the Unix epoch. `None` if a response with this status
    /// is not streamed.
    pub fn stream(&self, status: u16, now: u64) -> Option<Stream> {
        let translator = || match &self.caller {
            CallerApi::Messages => None,
            CallerApi::Chat { include_usage } => {
                Some(Translator::Chat(Chat::new(now, *include_usage)))
            }
            CallerApi::Responses(echo) => {
                Some(Translator::Responses(Responses::new(now, echo.clone())))
            }
        };
        (self.stream && status == 200).then(|| Stream::new(self.host, translator()))
    }

    /// Translates a response that is not streamed. `error_name`: the error name from AWS's header, or empty; `now`: seconds
    /// since the Unix epoch. A message about the request is kept. A message about the operator's account is not.
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
        let aws = aws.map(|(status, error)| (status, error.to_string().into_bytes()));
        let (status, error) = match &aws {
            Some((status, error)) => (*status, error.as_slice()),
            None => (status, body),
        };
        let (status, translated) = match self.caller {
            CallerApi::Messages => error::messages(status, error),
            CallerApi::Chat { .. } | CallerApi::Responses(_) => error::error(status, error),
        };
        TranslatedResponse {
            status,
            body: Some(translated),
            usage: Usage::default(),
        }
    }

    fn answered(&self, body: &[u8], now: u64) -> TranslatedResponse {
        let translated = match &self.caller {
            CallerApi::Messages => {
                return TranslatedResponse {
                    status: 200,
                    body: None,
                    usage: Usage::of(body),
                };
            }
            CallerApi::Chat { .. } => completion(body, now),
            CallerApi::Responses(echo) => responses::whole(body, echo, now),
        };
        let (status, translated, usage) = match translated {
            Some((translated, usage)) => (200, translated, usage),
            // The body of the status 200 is no message.
            None => {
                let (status, translated) = error::error(502, body);
                (status, translated, Usage::default())
            }
        };
        TranslatedResponse {
            status,
            body: Some(translated),
            usage,
        }
    }
}
