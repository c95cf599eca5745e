//! Compiles our own .proto files and etcd's, and finds the compiled descriptors of Envoy's API: the crate `envoy-types` carries them beside
//! the code that it generated from them, but does not export them.

use anyhow::{Context, Result};
use cargo_metadata::{CargoOpt, MetadataCommand};
use std::path::Path;
use std::{env, fs};

/// Our own contracts, and that of etcd.
const CONTRACTS: [&str; 3] = [
    "etcd/rpc.proto",
    "meridian/admin/v1/admin.proto",
    "meridian/signals/v1/signals.proto",
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=meridian");
    println!("cargo::rerun-if-changed=etcd");
    // In Rust: nobody needs a protoc.
    let contracts = protox::compile(CONTRACTS, ["."])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(contracts)?;
    envoy_api()
}

fn envoy_api() -> Result<()> {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let metadata = MetadataCommand::new()
        .features(CargoOpt::NoDefaultFeatures)
        .other_options(vec![
            "--locked".to_owned(),
            "--filter-platform".to_owned(),
            env::var("HOST")?,
        ])
        .exec()
        .context("cargo metadata, to find the sources of envoy-types")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "envoy-types")
        .context("envoy-types is not among the dependencies")?;
    let sources = package
        .manifest_path
        .parent()
        .context("envoy-types has no directory")?;
    let descriptors = sources.join("src/generated/types.bin");
    let out = Path::new(&env::var("OUT_DIR")?).join("envoy_api.bin");
    fs::copy(&descriptors, &out).with_context(|| format!("copying {descriptors}"))?;
    Ok(())
}
