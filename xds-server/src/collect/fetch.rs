//! One HTTP request to a source, with a limit for the response body.

use super::outcome::ScrapeError;
use reqwest::{RequestBuilder, Response};

/// Sends a request, with the bearer token in a file if there is one.
pub(super) async fn send(
    mut request: RequestBuilder,
    token: Option<&str>,
) -> Result<Response, ScrapeError> {
    if let Some(path) = token {
        request = request.bearer_auth(self::token(path.to_owned()).await?);
    }
    Ok(request.send().await?)
}

/// The response body.
///
/// # Errors
///
/// If it has more than `most` bytes.
pub(super) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, ScrapeError> {
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |announced| announced > most) {
        return Err(ScrapeError::TooLarge(most));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Err(ScrapeError::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads the token for every request, so that a renewed token is used.
async fn token(path: String) -> Result<String, ScrapeError> {
    let read = tokio::task::spawn_blocking(move || match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Err(format!("{path} is empty")),
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("{path}: {error}")),
    });
    let token = read.await.map_err(|_| ScrapeError::Reader)?;
    token.map_err(ScrapeError::Token)
}
