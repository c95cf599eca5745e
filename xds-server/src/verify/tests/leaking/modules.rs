//! Dynamic modules that leak.

use super::*;
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, RemoteDataSource, async_data_source,
};
use envoy_types::pb::envoy::extensions::dynamic_modules::v3::DynamicModuleConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use envoy_types::pb::google::protobuf::StringValue;

fn filter(snapshot: &mut Snapshot, edit: impl FnOnce(&mut DynamicModuleFilter)) {
    manager(listener(snapshot, "public"), |manager| {
        http_filter(manager, edit)
    });
}

fn module(snapshot: &mut Snapshot, edit: impl FnOnce(&mut DynamicModuleConfig)) {
    filter(snapshot, |filter| {
        edit(filter.dynamic_module_config.as_mut().unwrap());
    });
}

#[test]
fn dynamic_modules_that_leak() {
    check(
        &EXAMPLE.replacen("zones:", "gateways: { filter: native }\nzones:", 1),
        vec![
            case(
                "by URL",
                EU,
                |s| {
                    module(s, |m| {
                        let remote = RemoteDataSource::default();
                        m.module = Some(AsyncDataSource {
                            specifier: Some(async_data_source::Specifier::Remote(remote)),
                        });
                    });
                },
                "must be the file",
            ),
            case(
                "no code",
                EU,
                |s| module(s, |m| m.module = None),
                "must be the file",
            ),
            case(
                "by name",
                EU,
                |s| module(s, |m| m.name = "meridian".into()),
                "`name` of this DynamicModuleConfig",
            ),
            case(
                "its symbols replace others",
                EU,
                |s| module(s, |m| m.load_globally = true),
                "`load_globally` of this DynamicModuleConfig",
            ),
            case(
                "the last filter",
                EU,
                |s| filter(s, |f| f.terminal_filter = true),
                "`terminal_filter` of this DynamicModuleFilter",
            ),
            case(
                "another root",
                EU,
                |s| filter(s, |f| f.filter_name = "guard".into()),
                "the filter `guard` in place of `router`",
            ),
            case(
                "the root that picks servers in the router's place",
                EU,
                |s| {
                    filter(s, |f| {
                        f.filter_name = "pool".into();
                        let policy = StringValue {
                            value: r#"{"pools":{}}"#.into(),
                        };
                        f.filter_config = Some(pack_any(policy));
                    });
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "no policy",
                EU,
                |s| filter(s, |f| f.filter_config = None),
                "a missing StringValue",
            ),
        ],
    );
}
