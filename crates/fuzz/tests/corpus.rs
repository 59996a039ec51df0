//! What the fuzzer found worth keeping, read again in every run of the tests; no fuzzer is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use plumbline_fuzz::TARGETS;

fn below(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)
}

/// Names in a directory, without what ends a source file's.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", directory.display()));
    entries
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .map(|name| name.strip_suffix(".rs").unwrap_or(&name).to_owned())
        .collect()
}

#[test]
fn every_target_has_a_corpus_and_a_fuzzer() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&below("corpus")), targets);
    assert_eq!(names(&below("targets/targets")), targets);
}

#[test]
fn the_corpus_still_holds() {
    for (name, target) in TARGETS {
        let directory = below("corpus").join(name);
        let inputs = names(&directory);
        assert!(inputs.len() >= 3, "{} is nearly empty", directory.display());
        for input in inputs {
            let path = directory.join(&input);
            let bytes =
                fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            let held = std::panic::catch_unwind(|| target(&bytes));
            assert!(held.is_ok(), "{} breaks the target `{name}`", path.display());
        }
    }
}

#[test]
fn the_smallest_inputs_break_nothing() {
    for (_, target) in TARGETS {
        target(&[]);
        for byte in 0..=u8::MAX {
            target(&[byte]);
            target(&[byte, b'\n', byte]);
        }
    }
}
