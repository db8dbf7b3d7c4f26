//! What does not compile, and that the compiler says why, at the right place; and what it warns of as in any function.
//!
//! Each file of `mistakes/` and `lints/` is given to the compiler with the library as it was built for these tests, which takes a second
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

/// Compiles a file and returns whether that went well, and what the compiler says.
fn compile(file: &Path) -> (bool, String) {
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
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

/// Keeps of the compiler's words what is about the file: messages, places and the lines underlined.
fn about(file: &str, said: &str) -> String {
    let place = format!("--> {file}");
    let mut kept = Vec::new();
    for block in said.split("\n\n") {
        let mut lines = block.lines();
        let is_told = |line: &&str| line.starts_with("error") || line.starts_with("warning");
        let Some(first) = lines.next().filter(is_told) else {
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

/// Returns the files of a folder of these tests, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|file| file.path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

/// Compares what is said of the files of a folder with what is kept beside them.
fn compare(folder: &str, compiles: bool, least: usize) {
    let files = files(folder);
    assert!(files.len() >= least, "{files:?}");
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (is_compiled, said) = compile(&file);
        assert_eq!(is_compiled, compiles, "{name}: {said}");
        let told = about(&name, &said);
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => folder }, {
            insta::assert_snapshot!(name.trim_end_matches(".rs"), told);
        });
    }
}

#[test]
fn mistakes_are_told_where_they_are() {
    compare("mistakes", false, 15);
}

#[test]
fn functions_with_attributes_are_warned_of_as_others_are() {
    compare("lints", true, 1);
}
