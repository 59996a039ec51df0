//! Every promise of the products' pages has a test that exists: the table of `docs/API.md`, kept honest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many rows each page has: BuildWorkPro's overview and catalogue, Buildr's guide in two parts, Buildmarkets'
/// reference.
const PAGES: [u32; 5] = [41, 22, 14, 4, 27];

/// Every row of every page.
fn required() -> BTreeSet<String> {
    let pages = PAGES.into_iter().zip(0..);
    pages
        .flat_map(|(rows, page)| (1..=rows).map(move |row| format!("S{page}-{row:02}")))
        .collect()
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this crate lies two directories below the workspace")
        .to_owned()
}

#[test]
fn every_row_of_the_products_pages_names_a_test_that_exists() {
    let path = root().join("docs/API.md");
    let document =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let rows = rows(&document);
    let tests = tests();
    for (row, names) in &rows {
        assert!(!names.is_empty(), "{row} names no test");
        for name in names {
            assert!(
                tests.contains(name),
                "{row} names the test `{name}`, which does not exist"
            );
        }
    }
    let missing: Vec<String> = required()
        .into_iter()
        .filter(|row| !rows.contains_key(row))
        .collect();
    assert!(missing.is_empty(), "docs/API.md names no test for {missing:?}");
}

/// The rows of the table that name tests: `| S0-01 | test_name, other_test |`.
fn rows(document: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in document.lines() {
        let mut cells = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.replace('`', "").trim().to_owned());
        let (Some(row), Some(names)) = (cells.next(), cells.next()) else {
            continue;
        };
        if !is_row(&row) {
            continue;
        }
        let names = names
            .split([',', ' '])
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
        rows.entry(row).or_default().extend(names);
    }
    rows
}

/// `S0-01`: a page and a row.
fn is_row(text: &str) -> bool {
    let number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('S')
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(page, row)| number(page, 1) && number(row, 2))
}

/// The name of every test function of the workspace.
fn tests() -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![root().join("crates")]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)
            .expect("the directory can be read")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                collect(
                    &fs::read_to_string(&path).expect("a source can be read"),
                    &mut found,
                );
            }
        }
    }
    found
}

/// The functions that stand below an attribute of a test.
fn collect(source: &str, found: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= ["#[test]", "#[tokio::test", "#[actix_web::test", "#[rstest"]
                .iter()
                .any(|start| line.starts_with(start));
        } else if let Some(name) = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
        {
            if is_test {
                found.extend(name.split(['(', '<']).next().map(str::to_owned));
            }
            is_test = false;
        }
    }
}

#[test]
fn the_table_is_read_as_it_is_written() {
    let table = "| Row | Test |\n|---|---|\n| S0-01 | `a_test` |\n|S1-02|a, b|\n";
    let expected = [("S0-01", vec!["a_test"]), ("S1-02", vec!["a", "b"])];
    let expected: BTreeMap<String, Vec<String>> = expected
        .map(|(row, names)| (row.to_owned(), names.into_iter().map(str::to_owned).collect()))
        .into();
    assert_eq!(rows(table), expected);
    assert_eq!(required().len(), 108);
    assert!(tests().contains("the_table_is_read_as_it_is_written"));
}
