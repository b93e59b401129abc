//! Compiles the API definitions, without protoc, and keeps their descriptors for reflection.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use protox::Compiler;
use tonic_prost_build::configure;

fn main() -> Result<(), Box<dyn Error>> {
    let file = |name| format!("meridian/{name}.proto");
    let public = [
        "common",
        "teller",
        "atm",
        "events",
        "consumers",
        "admin",
        "dev",
    ]
    .map(file);
    println!("cargo:rerun-if-changed=proto");

    let mut compiler = Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&public)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("meridian.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    // After the descriptors: reflection does not list what is between nodes only.
    compiler.open_file(file("internal"))?;
    configure()
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    stored_formats(&out.join("verify"))
}

/// The messages of the stored formats once more, for the verifier: it shares no code with those
/// who wrote what it reads.
fn stored_formats(out: &Path) -> Result<(), Box<dyn Error>> {
    let folders = ["../ledger-domain/proto", "../replication/proto"];
    for folder in folders {
        println!("cargo:rerun-if-changed={folder}");
    }
    fs::create_dir_all(out)?;
    configure()
        .emit_rerun_if_changed(false)
        .build_client(false)
        .build_server(false)
        .bytes(".")
        .out_dir(out)
        .compile_fds(protox::compile(
            ["entry.proto", "book.proto", "peer.proto"],
            folders,
        )?)?;
    Ok(())
}
