//! The drawn architecture is the built one: who depends on whom, and which crate may speak what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, NodeDep, Package};

/// Who may depend on whom. The same table, without the testkit's row, whose tests sign as the domain does, stands in `docs/ARCHITECTURE.md` under "Arrows".
const ARROWS: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("store", &["domain"]),
    ("broker", &["domain"]),
    ("engine", &["broker", "domain", "store"]),
    ("runtime", &[]),
    ("api", &["domain", "engine", "runtime"]),
    ("dispatcher", &["broker", "domain", "runtime", "store"]),
    ("cli", &["domain", "engine", "runtime"]),
    ("image", &["api", "cli", "dispatcher"]),
    ("testkit", &["domain"]),
    ("bench", &["testkit"]),
    ("fuzz", &["api", "broker", "domain", "engine", "testkit"]),
    ("chaos", &["broker", "domain", "testkit"]),
];

/// Each foreign technology has one door, for what ships; two where two parties are spoken to. The same table stands in `deny.toml`.
const DOORS: [(&str, &str); 17] = [
    ("lapin", "broker"),
    ("tokio-postgres", "store"),
    ("tokio-postgres-rustls", "store"),
    ("deadpool-postgres", "store"),
    ("refinery", "store"),
    ("chacha20poly1305", "store"),
    ("argon2", "engine"),
    ("jsonschema", "engine"),
    ("actix-web", "api"),
    ("utoipa", "api"),
    ("tokio-rustls", "dispatcher"),
    ("hyper-rustls", "cli"),
    ("hyper-rustls", "runtime"),
    ("clap_complete", "cli"),
    ("indicatif", "cli"),
    ("hickory-resolver", "runtime"),
    ("tracing-subscriber", "runtime"),
];

/// Nobody links these: TLS is rustls with ring.
const BANNED: [&str; 3] = ["openssl-sys", "native-tls", "aws-lc-sys"];

/// The domain decides; it neither waits, nor speaks, nor serialises.
const NOT_IN_DOMAIN: [&str; 12] = [
    "tokio",
    "tokio-util",
    "futures-util",
    "async-trait",
    "actix-web",
    "http",
    "hyper",
    "serde",
    "serde_json",
    "tracing",
    "rand",
    "prometheus",
];

/// Any crate may use it in its tests.
const TESTKIT: &str = "testkit";
/// Never shipped, so they may look behind every door: they watch the system from outside, seed its tables and ask them,
/// and call its parsers one by one.
const NEVER_SHIPPED: [&str; 4] = [TESTKIT, "bench", "chaos", "fuzz"];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this crate lies two directories below the workspace")
        .to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The workspace and what it links on this machine.
fn metadata() -> Metadata {
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc is beside cargo");
    let version = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc names its host");
    // Packages of other platforms are not downloaded, and a test does not download.
    let options = ["--offline", "--locked", "--filter-platform", host].map(str::to_owned);
    let mut command = MetadataCommand::new();
    command
        .manifest_path(root().join("Cargo.toml"))
        .other_options(options);
    command
        .exec()
        .unwrap_or_else(|error| panic!("cargo metadata failed: {error}"))
}

/// A crate of ours by its short name.
fn short(package: &str) -> Option<&str> {
    package.strip_prefix("plumbline-")
}

fn ours(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    let members = metadata.workspace_packages().into_iter();
    members
        .map(|package| {
            (
                short(package.name.as_str()).expect("our crates are called plumbline-*"),
                package,
            )
        })
        .collect()
}

#[test]
fn the_arrows_are_as_drawn() {
    let metadata = metadata();
    let expected: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(from, to)| ((*from).to_owned(), to.iter().map(|&to| to.to_owned()).collect()))
        .collect();
    let built: BTreeMap<String, BTreeSet<String>> = ours(&metadata)
        .into_iter()
        .map(|(name, package)| {
            let arrows = package.dependencies.iter().filter_map(|dependency| {
                let to = short(&dependency.name)?;
                // Any crate may use the testkit in its tests.
                (dependency.kind != DependencyKind::Development || to != TESTKIT).then(|| to.to_owned())
            });
            (name.to_owned(), arrows.collect())
        })
        .collect();
    assert_eq!(built, expected, "what cargo builds is not what this test says");

    let document = root().join("docs/ARCHITECTURE.md");
    let shipped: BTreeMap<_, _> = expected.into_iter().filter(|(name, _)| name != TESTKIT).collect();
    assert_eq!(
        drawn(&read(&document)),
        shipped,
        "what {} draws is not what is built",
        document.display()
    );
}

/// The arrows of the document: the rows of the table below "## Arrows".
fn drawn(document: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = document
        .split_once("\n## Arrows")
        .expect("the document has a heading `## Arrows`")
        .1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let cell = |text: &str| text.replace('`', "").trim().to_owned();
    section
        .lines()
        .filter_map(|line| line.trim().strip_prefix('|'))
        .filter_map(|row| {
            let mut cells = row.split('|').map(cell);
            let (from, to) = (cells.next()?, cells.next()?);
            // The head of the table and the line below it name no crate.
            ARROWS
                .iter()
                .any(|(name, _)| *name == from && from != TESTKIT)
                .then(|| {
                    let to = to.split(',').map(|name| name.trim().to_owned());
                    (
                        from,
                        to.filter(|name| !matches!(name.as_str(), "" | "-" | "—" | "nothing"))
                            .collect(),
                    )
                })
        })
        .collect()
}

#[test]
fn each_foreign_technology_has_one_door() {
    let metadata = metadata();
    for (name, package) in ours(&metadata) {
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Development)
        {
            let doors: Vec<&str> = DOORS
                .iter()
                .filter(|(foreign, _)| *foreign == dependency.name)
                .map(|(_, door)| *door)
                .collect();
            assert!(
                doors.is_empty() || doors.contains(&name) || NEVER_SHIPPED.contains(&name),
                "`{name}` depends on {}, whose door is {doors:?}",
                dependency.name
            );
        }
    }
    for package in &metadata.packages {
        assert!(
            !BANNED.contains(&package.name.as_str()),
            "{} is linked",
            package.name
        );
    }
}

#[test]
fn the_domain_waits_for_nothing_and_speaks_to_nobody() {
    let metadata = metadata();
    let domain = ours(&metadata)["domain"];
    for dependency in domain
        .dependencies
        .iter()
        .filter(|d| d.kind != DependencyKind::Development)
    {
        assert!(
            !NOT_IN_DOMAIN.contains(&dependency.name.as_str()),
            "`domain` depends on {}",
            dependency.name
        );
        assert!(
            !dependency.features.iter().any(|feature| feature == "serde"),
            "`domain` asks {} for serde",
            dependency.name
        );
    }
}

#[test]
fn deny_toml_has_the_same_doors() {
    let deny: toml::Table = read(&root().join("deny.toml"))
        .parse()
        .expect("deny.toml is TOML");
    let entries = deny["bans"]["deny"].as_array().expect("a list of bans");
    let mut doors = BTreeMap::new();
    for entry in entries {
        let name = entry["crate"].as_str().expect("a crate's name").to_owned();
        let wrappers = entry
            .get("wrappers")
            .and_then(toml::Value::as_array)
            .cloned()
            .unwrap_or_default();
        let wrappers: BTreeSet<String> = wrappers
            .iter()
            .filter_map(toml::Value::as_str)
            .map(str::to_owned)
            .collect();
        assert!(
            doors.insert(name.clone(), wrappers).is_none(),
            "{name} stands twice in deny.toml"
        );
    }
    let known: BTreeSet<&str> = DOORS.iter().map(|(foreign, _)| *foreign).chain(BANNED).collect();
    assert_eq!(doors.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);

    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("cargo resolves dependencies");
    for (foreign, wrappers) in &doors {
        let dependents: BTreeSet<String> = resolve
            .nodes
            .iter()
            .filter(|node| {
                let ships = |d: &&NodeDep| {
                    d.dep_kinds
                        .iter()
                        .any(|kind| kind.kind != DependencyKind::Development)
                };
                node.deps
                    .iter()
                    .filter(ships)
                    .any(|dependency| metadata[&dependency.pkg].name.as_str() == foreign)
            })
            .map(|node| metadata[&node.id].name.to_string())
            .collect();
        assert_eq!(
            &dependents, wrappers,
            "who depends on {foreign} is not who may, by deny.toml"
        );
    }
}

/// Rust sources below `src` of a crate, without its tests.
fn sources(name: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (vec![], vec![root().join("crates").join(name).join("src")]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)
            .expect("the directory can be read")
            .flatten()
        {
            let path = entry.path();
            match path.extension() {
                _ if path.file_stem().is_some_and(|stem| stem == "tests") => {}
                _ if path.is_dir() => open.push(path),
                Some(extension) if extension == "rs" => found.push(path),
                _ => {}
            }
        }
    }
    assert!(!found.is_empty(), "`{name}` has no sources");
    found
}

/// Check every line of code outside one crate (and those that never ship).
fn only_in(home: &str, what: &str, is_foreign: impl Fn(&str) -> bool) {
    for (name, _) in ARROWS
        .iter()
        .filter(|(name, _)| *name != home && !NEVER_SHIPPED.contains(name))
    {
        for path in sources(name) {
            let code: String = read(&path)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            assert!(
                !is_foreign(&code),
                "{} contains {what}, which belongs into `{home}`",
                path.display()
            );
        }
    }
}

#[test]
fn sql_is_only_in_store() {
    only_in("store", "SQL", contains_sql);
    for sql in [
        "SELECT id\n  FROM endpoints",
        "INSERT INTO x",
        "DELETE FROM x",
        "UPDATE x SET y = 1",
        "CREATE TABLE x ()",
    ] {
        assert!(contains_sql(sql), "{sql}");
    }
    for words in [
        "select it from a list",
        "SELECT it",
        "an INSERT or UPDATE, but no statement",
    ] {
        assert!(!contains_sql(words), "{words}");
    }
}

/// Whether upper-case keywords stand as SQL puts them.
fn contains_sql(text: &str) -> bool {
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let followed =
        |at: usize, by: &str, within: usize| words[at + 1..].iter().take(within).any(|word| *word == by);
    words.iter().enumerate().any(|(at, word)| match *word {
        "SELECT" => followed(at, "FROM", 60),
        "INSERT" => followed(at, "INTO", 1),
        "DELETE" => followed(at, "FROM", 1),
        "UPDATE" => followed(at, "SET", 3),
        "CREATE" | "DROP" | "ALTER" => followed(at, "TABLE", 2),
        _ => false,
    })
}

#[test]
fn exchange_and_queue_names_are_only_in_broker() {
    let names =
        ["work", "events", "fanout", "retries", "delay", "dead"].map(|name| format!("plumbline.{name}"));
    only_in("broker", "a queue's name", |code| {
        names.iter().any(|name| code.contains(name))
    });
}

#[test]
fn the_environment_and_signals_are_only_in_runtime() {
    let words = ["env::var", "tokio::signal", "signal::unix"];
    only_in("runtime", "the environment or a signal", |code| {
        words.iter().any(|word| code.contains(word))
    });
}

#[test]
fn what_is_only_for_tests_is_in_no_shipped_crate() {
    let metadata = metadata();
    for (name, package) in ours(&metadata) {
        assert_eq!(
            package.publish.as_deref(),
            Some(&[][..]),
            "`{name}` must not be published"
        );
        let ships = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development);
        for dependency in ships.filter(|_| !NEVER_SHIPPED.contains(&name)) {
            assert!(
                short(&dependency.name).is_none_or(|to| !NEVER_SHIPPED.contains(&to)),
                "`{name}` ships {}",
                dependency.name
            );
        }
    }
}
