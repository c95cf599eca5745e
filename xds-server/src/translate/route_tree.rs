//! Routes that Envoy finds by two headers, however many there are. In a list it compares every route before the right one, and it
//! looks for a route twice in each request.

use crate::wire::extension;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteList};
use envoy_types::pb::envoy::r#type::matcher::v3::HttpRequestHeaderMatchInput;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_tree::{MatchMap, TreeType};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::on_match;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherTree, MatcherType, OnMatch};
use meridian_policy::{ModelName, ZoneId, headers};
use prost::Name;
use std::collections::BTreeMap;

/// Routes by the definition and the model that they are for. Each of them matches these headers itself as well: the tree only makes
/// the list shorter that Envoy compares.
#[derive(Default)]
pub struct RouteTree<'n>(BTreeMap<&'n ZoneId, BTreeMap<&'n ModelName, Vec<Route>>>);

impl<'n> RouteTree<'n> {
    /// Adds routes behind those that are there for this definition and model.
    pub fn add(
        &mut self,
        definition: &'n ZoneId,
        model: &'n ModelName,
        routes: impl IntoIterator<Item = Route>,
    ) {
        let models = self.0.entry(definition).or_default();
        models.entry(model).or_default().extend(routes);
    }

    /// Whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tree. `otherwise`: for requests that none of its routes matches; they are not found without it.
    pub fn matcher(self, otherwise: Option<Route>) -> Matcher {
        let no_match = || otherwise.clone().map(|route| action("route", route));
        let models = |models: BTreeMap<&ModelName, Vec<Route>>| {
            let lists = models.into_iter().map(|(model, mut routes)| {
                routes.extend(otherwise.clone());
                (model.to_string(), action("routes", RouteList { routes }))
            });
            on_match(on_match::OnMatch::Matcher(Box::new(tree(
                headers::MODEL,
                lists,
                no_match(),
            ))))
        };
        let definitions = self.0.into_iter();
        let definitions = definitions.map(|(id, routes)| (id.to_string(), models(routes)));
        tree(headers::DEFINITION, definitions, no_match())
    }
}

fn tree(
    header: &str,
    values: impl Iterator<Item = (String, OnMatch)>,
    no_match: Option<OnMatch>,
) -> Matcher {
    let input = HttpRequestHeaderMatchInput {
        header_name: header.into(),
    };
    let tree = MatcherTree {
        input: Some(typed("envoy.matching.inputs.request_headers", input)),
        tree_type: Some(TreeType::ExactMatchMap(MatchMap {
            map: values.collect(),
        })),
    };
    Matcher {
        on_no_match: no_match.map(Box::new),
        matcher_type: Some(MatcherType::MatcherTree(tree)),
    }
}

fn action(name: &str, message: impl Name) -> OnMatch {
    on_match(on_match::OnMatch::Action(typed(name, message)))
}

fn on_match(on_match: on_match::OnMatch) -> OnMatch {
    OnMatch {
        keep_matching: false,
        on_match: Some(on_match),
    }
}

/// An extension as the matching API has them.
fn typed(name: &str, message: impl Name) -> TypedExtensionConfig {
    let extension = extension(name, message);
    TypedExtensionConfig {
        name: extension.name,
        typed_config: extension.typed_config,
    }
}
