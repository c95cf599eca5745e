//! Listeners that leak.

use super::*;

#[test]
fn listeners_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "TCP",
                EU,
                |s| {
                    listener(s, "public").filter_chains[0].filters[0].config_type = Some(
                        filter::ConfigType::TypedConfig(pack_any(TcpProxy::default())),
                    )
                },
                "this way to name a cluster is not supported",
            ),
            case(
                "Lua",
                EU,
                |s| manager(listener(s, "public"), |m| insert_filter(m, Lua::default())),
                "lua.v3.Lua` is not supported",
            ),
            case(
                "a default chain",
                EU,
                |s| {
                    let public = listener(s, "public");
                    public.default_filter_chain = Some(public.filter_chains[0].clone());
                    manager(public, |_| {});
                    let mut open = listener(s, "public").clone();
                    drop_all_wasm(&mut open);
                    listener(s, "public").default_filter_chain = Some(open.filter_chains.remove(0));
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "no filter at all",
                EU,
                |s| drop_filter(s, "public", &Wasm::type_url()),
                "a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "no filter in the US",
                US,
                |s| drop_filter(s, "public", &Wasm::type_url()),
                "must not pass through",
            ),
            case(
                "a filter that may be off",
                EU,
                |s| manager(listener(s, "public"), |m| m.http_filters[2].disabled = true),
                "`disabled` of this HttpFilter",
            ),
            case(
                "a filter that may be missing",
                EU,
                |s| {
                    manager(listener(s, "public"), |m| {
                        m.http_filters[2].is_optional = true
                    })
                },
                "`is_optional` of this HttpFilter",
            ),
            case(
                "a filter after the router",
                EU,
                |s| manager(listener(s, "public"), |m| m.http_filters.swap(2, 3)),
                "does not end in its only router",
            ),
            case(
                "upstream filters",
                EU,
                |s| {
                    manager(listener(s, "public"), |m| {
                        http_filter(m, |r: &mut Router| {
                            r.upstream_http_filters = vec![Default::default()];
                        })
                    })
                },
                "`upstream_http_filters` of this Router",
            ),
            case(
                "trusted hops",
                EU,
                |s| manager(listener(s, "public"), |m| m.xff_num_trusted_hops = 1),
                "could forge the address",
            ),
            case(
                "no source of its own",
                EU,
                |s| manager(listener(s, "public"), |m| m.use_remote_address = None),
                "could forge the address",
            ),
            case(
                "another log",
                EU,
                |s| {
                    manager(listener(s, "public"), |m| {
                        m.access_log[0].config_type =
                Some(envoy_types::pb::envoy::config::accesslog::v3::access_log::ConfigType::TypedConfig(pack_any(TcpProxy::default())))
                    })
                },
                "TcpProxy` is not supported",
            ),
            case(
                "routes from elsewhere",
                EU,
                |s| manager(listener(s, "public"), |m| m.route_specifier = None),
                "its routes are not in the snapshot",
            ),
            case(
                "two listeners of a name",
                EU,
                |s| {
                    let twin = listener(s, "public").clone();
                    s.listeners.push(twin);
                },
                "two listeners of this name",
            ),
            case(
                "listener filters",
                EU,
                |s| listener(s, "public").listener_filters = vec![Default::default()],
                "a missing TlsInspector is not supported",
            ),
        ],
    );
}
