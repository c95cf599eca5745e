//! The OpenAPI document, made from the routes.

use super::super::access::Access;
use utoipa::OpenApi;
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};

/// What the document says besides the operations.
#[derive(OpenApi)]
#[openapi(info(
    title = "Meridian admin API",
    description = "Drains, overrides and freezes of a running fleet, and the record of them. Every error has the body `Refused`; so \
                   have 404 for other paths, and 405 for other methods.",
))]
struct Head;

/// The document without operations, of a port for these callers.
pub fn head(access: &Access) -> utoipa::openapi::OpenApi {
    let mut document = Head::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    if let Access::Operators(_) = access {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", token);
        let needs_token = SecurityRequirement::new("token", [""; 0]);
        document.security = Some(vec![needs_token]);
    }
    document
}

/// Says of each kind of action that it has no other fields: serde refuses them, and utoipa does not say so of a tagged enum.
pub fn close_actions(document: &mut utoipa::openapi::OpenApi) {
    let components = document.components.as_mut();
    let action = components.and_then(|components| components.schemas.get_mut("Action"));
    let Some(RefOr::T(Schema::OneOf(action))) = action else {
        return;
    };
    for kind in &mut action.items {
        if let RefOr::T(Schema::Object(kind)) = kind {
            kind.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}
