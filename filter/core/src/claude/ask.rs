//! What a caller's request becomes on its way to Claude.

use super::beta;
use super::host::{COUNT_TOKENS, Call, HostRequest, MESSAGES, host_request};
use super::invalid_request::InvalidRequest;
use super::read::read;
use super::request::{MessagesRequest, native, request};
use super::response::{CallerApi, ResponseContext};
use super::responses;
use meridian_policy::FallbackName;
use meridian_policy::api::Shape;
use meridian_policy::egress_policy::Claude;

/// An API of callers whom Claude can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Anthropic's Messages API.
    Messages,
    /// Anthropic's API that counts tokens.
    CountTokens,
    /// OpenAI's Chat Completions API.
    Chat,
    /// OpenAI's Responses API.
    Responses,
}

impl Api {
    /// The shape of the API's errors.
    pub fn shape(self) -> Shape {
        match self {
            Self::Messages | Self::CountTokens => Shape::Anthropic,
            Self::Chat | Self::Responses => Shape::OpenAi,
        }
    }

    /// Whether it is Anthropic's own.
    pub fn is_native(self) -> bool {
        self.shape() == Shape::Anthropic
    }
}

/// A caller's request, except its body.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The API of the caller.
    pub api: Api,
    /// The version of Anthropic's API that the caller names.
    pub version: Option<&'a str>,
    /// The betas of Anthropic's API that the caller names, joined by commas.
    pub betas: &'a str,
    /// The Claude that is asked.
    pub claude: &'a Claude,
    /// The fallback that it is.
    pub fallback: &'a FallbackName,
}

impl Ask<'_> {
    /// Translates the request, and says what the translation of the response needs. The body is given up once it is read: large ones
    /// are not to be in memory twice.
    ///
    /// # Errors
    /// The body is invalid, too large, or asks for something that Claude does not have.
    pub fn translate(
        self,
        body: Vec<u8>,
    ) -> Result<(HostRequest, ResponseContext), InvalidRequest> {
        let Self {
            api,
            version,
            betas,
            claude,
            fallback,
        } = self;
        let mut fields = read(&body, claude, fallback)?;
        let mut call = Call {
            path: MESSAGES,
            version: None,
            betas: &[],
            size: body.len(),
        };
        drop(body);
        let context = |caller, stream| ResponseContext {
            host: claude.host,
            caller,
            stream,
        };
        match api {
            Api::Messages | Api::CountTokens => {
                if api == Api::CountTokens {
                    call.path = COUNT_TOKENS;
                }
                call.version = version;
                let betas = beta::allow(claude.host, betas, &mut fields)?;
                call.betas = &betas;
                let request = host_request(claude, native(fields)?, call);
                let stream = request.stream;
                Ok((request, context(CallerApi::Messages, stream)))
            }
            Api::Chat => {
                let MessagesRequest {
                    body,
                    stream,
                    include_usage,
                } = request(fields, claude)?;
                let caller = CallerApi::Chat { include_usage };
                let request = host_request(claude, body, call);
                Ok((request, context(caller, stream)))
            }
            Api::Responses => {
                let responses::Request { body, stream, echo } = responses::request(fields, claude)?;
                let request = host_request(claude, body, call);
                Ok((request, context(CallerApi::Responses(echo), stream)))
            }
        }
    }
}
