//! Compiles the API definitions, without protoc, and keeps their descriptors for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use protox::Compiler;
use tonic_prost_build::configure;

fn main() -> Result<(), Box<dyn Error>> {
    let files =
        ["common", "teller", "atm", "admin", "dev"].map(|name| format!("meridian/{name}.proto"));
    println!("cargo:rerun-if-changed=proto");

    let mut compiler = Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("meridian.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    configure()
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
