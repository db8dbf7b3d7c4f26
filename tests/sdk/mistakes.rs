//! What does not compile, and that the compiler says why, at the right place.
//!
//! Each file of `mistakes/` is given to the compiler with the library as it was built for these tests, which takes a second
//! where a project of its own would take minutes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the library that this test was built with: the newest, since older builds may lie beside it.
fn library() -> (PathBuf, PathBuf) {
    let own = std::env::current_exe().expect("the path of this test");
    let folder = own.parent().expect("the folder of dependencies").to_owned();
    let libraries = std::fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .filter(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            name.starts_with("libprefect_rs-") && name.ends_with(".rlib")
        });
    let newest = libraries.max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok());
    (newest.expect("the library is built").path(), folder)
}

/// Compiles a file and returns what the compiler says.
fn compile(file: &Path) -> String {
    let (library, dependencies) = library();
    let out = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .current_dir(file.parent().expect("a folder"))
        .arg(file.file_name().expect("a name"))
        .args([
            "--edition=2024",
            "--emit=metadata",
            "--crate-type=bin",
            "--color=never",
        ])
        .arg(format!("--extern=prefect_rs={}", library.display()))
        .arg(format!("-Ldependency={}", dependencies.display()))
        .arg("--out-dir")
        .arg(out.path())
        .output()
        .expect("the compiler starts");
    assert!(!output.status.success(), "{} compiles", file.display());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Keeps of the compiler's words what is about the file: messages, places and the lines underlined.
fn about(file: &str, said: &str) -> String {
    let place = format!("--> {file}");
    let mut kept = Vec::new();
    for block in said.split("\n\n") {
        let mut lines = block.lines();
        let Some(first) = lines.next().filter(|line| line.starts_with("error")) else {
            continue;
        };
        if !block.contains(&place) {
            continue;
        }
        kept.push(first.to_owned());
        // The first picture of a message is where the mistake is; notes point into libraries.
        let picture = lines.take_while(|line| {
            !line.starts_with("note")
                && !line.starts_with("help")
                && !line.trim_start().starts_with("= ")
        });
        kept.extend(
            picture
                .map(|line| line.trim_end().to_owned())
                .filter(|line| !line.trim_matches([' ', '|']).is_empty()),
        );
    }
    kept.join("\n")
}

#[test]
fn mistakes_are_told_where_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/mistakes");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|file| file.path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    assert!(files.len() >= 8);
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let told = about(&name, &compile(&file));
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "mistakes" }, {
            insta::assert_snapshot!(name.trim_end_matches(".rs"), told);
        });
    }
}
