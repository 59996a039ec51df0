//! The rules of migrations: what one may do while the release before it still runs, and while tables are in use.
//!
//! A migration only **expands**: what runs goes on with the schema after it. What nothing uses any more is **contracted** by
//! a later release, when the one that used it cannot run any more. Contracting, and whatever rewrites or reads a table under
//! a lock, says why it may: `-- contract: …` in the comment before the statement. docs/OPERATIONS.md, "Updating".

/// The rules are as old as this migration.
const RULED_FROM: u32 = 13;
/// What a statement says that may do what it otherwise must not.
const REASON: &str = "-- contract:";

/// A statement of a migration.
struct Statement {
    /// In upper case, one blank between words, without comments, texts and function bodies.
    code: String,
    /// Whether the comment before it gives a reason.
    has_reason: bool,
}

/// Cut a migration into its statements.
fn statements(sql: &str) -> Vec<Statement> {
    let (mut found, mut code, mut has_reason) = (vec![], String::new(), false);
    let mut rest = sql;
    // What begins here is skipped to its end, and is no code.
    let skipped = |rest: &str, opens: usize, closes: &str| -> usize {
        let end = rest[opens..].find(closes).map(|at| opens + at + closes.len());
        end.unwrap_or(rest.len())
    };
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("--") {
            let end = skipped(rest, 2, "\n");
            let reason = rest[..end].trim().strip_prefix(REASON).unwrap_or_default();
            has_reason |= !reason.trim().is_empty();
            end
        } else if rest.starts_with("/*") {
            skipped(rest, 2, "*/")
        } else if rest.starts_with("$$") {
            skipped(rest, 2, "$$")
        } else if first == '\'' {
            code.push_str("''");
            skipped(rest, 1, "'")
        } else {
            match first {
                ';' => {
                    let code = std::mem::take(&mut code);
                    found.push((code, std::mem::take(&mut has_reason)));
                }
                first => code.extend(first.to_uppercase()),
            }
            first.len_utf8()
        };
        if taken > first.len_utf8() {
            code.push(' ');
        }
        rest = &rest[taken..];
    }
    found.push((code, has_reason));
    found
        .into_iter()
        .map(|(code, has_reason)| Statement {
            code: code.split_whitespace().collect::<Vec<_>>().join(" "),
            has_reason,
        })
        .filter(|statement| !statement.code.is_empty())
        .collect()
}

/// The table that comes after these words.
fn table_after<'a>(code: &'a str, words: &str) -> Option<&'a str> {
    let after = code.split_once(words)?.1.trim_start();
    let after = after.strip_prefix("IF NOT EXISTS ").unwrap_or(after);
    let after = after.strip_prefix("IF EXISTS ").unwrap_or(after);
    let after = after.strip_prefix("ONLY ").unwrap_or(after);
    after.split([' ', '(', ',']).next()
}

/// Why a statement must not be in a migration; `made` are the tables that the same migration has made.
fn objection(code: &str, made: &[&str]) -> Option<&'static str> {
    let has = |words: &str| format!(" {code} ").contains(words);
    let begins = |words: &str| code.starts_with(words);
    // What only this migration knows is used by nobody.
    let is_ours = |words: &str| table_after(code, words).is_some_and(|table| made.contains(&table));
    if begins("DROP ") && !begins("DROP INDEX ") || begins("TRUNCATE ") {
        return Some("what runs may still use it");
    }
    if begins("UPDATE ") || begins("DELETE ") {
        return Some("it locks rows until the migration ends: fill in batches, by the upkeep of the API");
    }
    let makes_index = begins("CREATE INDEX ") || begins("CREATE UNIQUE INDEX ");
    if makes_index && !is_ours(" ON ") {
        return Some("building an index keeps writers out");
    }
    if !begins("ALTER ") || is_ours("ALTER TABLE ") {
        return None;
    }
    for action in [
        "DROP COLUMN",
        "DROP DEFAULT",
        "DROP EXPRESSION",
        "RENAME",
        "DETACH PARTITION",
    ] {
        if has(&format!(" {action} ")) {
            return Some("what runs may still use it");
        }
    }
    if has(" TYPE ") && (has(" ALTER COLUMN ") || has(" ALTER ")) {
        return Some("changing a type rewrites the table, and what runs expects the old one");
    }
    if has(" SET NOT NULL ") {
        return Some("it reads the table under a lock, and what runs may write null");
    }
    let adds_rule = ["CHECK", "UNIQUE", "PRIMARY KEY", "REFERENCES", "EXCLUDE"]
        .iter()
        .any(|rule| has(&format!(" {rule} ")) || has(&format!(" {rule}(")));
    if has(" ADD ") && adds_rule && !has(" NOT VALID ") {
        return Some(
            "it reads the table under a lock: add it NOT VALID, and validate it by another migration",
        );
    }
    // Of each column that is added by itself.
    let mut columns = code.split(" ADD COLUMN ").skip(1);
    if columns
        .clone()
        .any(|column| column.contains(" NOT NULL") && !column.contains(" DEFAULT "))
    {
        return Some("what runs does not write it: give it a default");
    }
    let volatile = [
        "GEN_RANDOM_UUID",
        "CLOCK_TIMESTAMP",
        "RANDOM",
        "NEXTVAL",
        "UUID_V7",
        "GENERATED ",
    ];
    if columns.any(|column| volatile.iter().any(|function| column.contains(function))) {
        return Some("a value of each row's own rewrites the table");
    }
    None
}

/// What is wrong with a migration: the statements, each with why.
fn objections(sql: &str) -> Vec<(String, &'static str)> {
    let all = statements(sql);
    let made: Vec<&str> = all
        .iter()
        .filter(|statement| statement.code.starts_with("CREATE TABLE "))
        .filter_map(|statement| table_after(&statement.code, "CREATE TABLE "))
        .collect();
    all.iter()
        .filter(|statement| !statement.has_reason)
        .filter_map(|statement| Some((statement.code.clone(), objection(&statement.code, &made)?)))
        .collect()
}

/// The migrations: versions, names and texts.
fn migrations() -> Vec<(u32, String, String)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let files = std::fs::read_dir(directory).expect("the migrations");
    let read = files.map(|file| {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let version = name.strip_prefix('V').and_then(|name| name.split_once("__"));
        let version = version.and_then(|(version, _)| version.parse().ok());
        let text = std::fs::read_to_string(&path).expect("text");
        (
            version.unwrap_or_else(|| panic!("{name} has no version")),
            name,
            text,
        )
    });
    read.collect()
}

#[test]
fn a_migration_only_expands_unless_it_says_why() {
    let all = migrations();
    assert!(all.len() >= 12, "they are there");
    for (version, name, sql) in all {
        let wrong = objections(&sql);
        assert!(version < RULED_FROM || wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[test]
fn the_rules_find_what_is_in_the_migrations_from_before_them() {
    let mut refused: Vec<(u32, String)> = migrations()
        .into_iter()
        .filter(|(version, ..)| *version < RULED_FROM)
        .flat_map(|(version, _, sql)| objections(&sql).into_iter().map(move |(code, _)| (version, code)))
        .map(|(version, code)| (version, code.split(' ').take(2).collect::<Vec<_>>().join(" ")))
        .collect();
    refused.sort();
    let found: Vec<(u32, &str)> = refused
        .iter()
        .map(|(version, code)| (*version, code.as_str()))
        .collect();
    assert!(found.contains(&(10, "ALTER TABLE")), "a CHECK: {found:?}");
    assert!(found.contains(&(10, "UPDATE ENDPOINTS")), "{found:?}");
    assert!(found.contains(&(11, "CREATE INDEX")), "{found:?}");
    assert!(
        !found
            .iter()
            .any(|(version, _)| [1, 3, 5, 7, 9, 12].contains(version)),
        "they only add: {found:?}"
    );
}

#[test]
fn what_breaks_the_release_before_or_holds_a_table_is_refused() {
    for sql in [
        "DROP TABLE endpoints",
        "drop function uuid_v7",
        "TRUNCATE outbox",
        "ALTER TABLE endpoints DROP COLUMN headers",
        "ALTER TABLE endpoints ADD COLUMN a text, DROP COLUMN headers",
        "ALTER TABLE endpoints RENAME COLUMN url TO address",
        "ALTER TABLE endpoints RENAME TO receivers",
        "ALTER TABLE endpoints ALTER COLUMN url DROP DEFAULT",
        "ALTER TABLE deliveries ALTER COLUMN attempt_count TYPE integer",
        "ALTER TABLE deliveries ALTER attempt_count SET DATA TYPE integer",
        "ALTER TABLE deliveries ALTER COLUMN error SET NOT NULL",
        "ALTER TABLE deliveries ADD COLUMN a text NOT NULL",
        "ALTER TABLE deliveries ADD COLUMN a text NOT NULL, ADD COLUMN b text NOT NULL DEFAULT ''",
        "ALTER TABLE deliveries ADD COLUMN a uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE deliveries ADD COLUMN a integer CHECK (a > 0)",
        "ALTER TABLE deliveries ADD CONSTRAINT positive CHECK (attempt_count > 0)",
        "ALTER TABLE endpoints ADD FOREIGN KEY (tenant_id) REFERENCES tenants",
        "CREATE INDEX by_type ON events (type)",
        "CREATE UNIQUE INDEX by_type ON events (type)",
        "UPDATE endpoints SET description = 'a;b'",
        "DELETE FROM sessions",
        // A reason is for one statement, and is one.
        "-- contract: of nothing since 0.3.\nDROP TABLE a; DROP TABLE b",
        "-- contract:\nDROP TABLE a",
        "-- contraction: it is time\nDROP TABLE a",
        // What another migration has made is in use.
        "CREATE TABLE a (id bigint); CREATE INDEX a_of ON events (id)",
    ] {
        assert_eq!(objections(sql).len(), 1, "{sql}: {:?}", objections(sql));
    }
}

#[test]
fn what_only_adds_or_says_why_is_accepted() {
    for sql in [
        "",
        "-- Nothing.",
        "CREATE TABLE a (id bigint PRIMARY KEY, b text NOT NULL CHECK (b <> '')); CREATE INDEX a_of ON a (b);",
        "CREATE TABLE a (id bigint); ALTER TABLE a ALTER COLUMN id SET NOT NULL",
        "ALTER TABLE deliveries ADD COLUMN a integer[]",
        "ALTER TABLE deliveries ADD COLUMN a text NOT NULL DEFAULT ''",
        "ALTER TABLE deliveries ADD COLUMN a timestamptz NOT NULL DEFAULT now()",
        "ALTER TABLE deliveries ADD CONSTRAINT positive CHECK (attempt_count > 0) NOT VALID",
        "ALTER TABLE deliveries VALIDATE CONSTRAINT positive",
        "ALTER TABLE deliveries DROP CONSTRAINT positive",
        "ALTER TABLE deliveries ALTER COLUMN error DROP NOT NULL",
        "INSERT INTO event_types (profile, name, description) VALUES ('a', 'b', 'DROP TABLE a; -- it''s text')",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM a; DROP TABLE a; END $$",
        "COMMENT ON COLUMN endpoints.headers IS 'RENAME TO'",
        "-- contract: read by nothing since 0.3; 0.2 cannot run on V12.\nALTER TABLE endpoints DROP COLUMN headers",
        "-- contract: as long as there are few endpoints, it takes a moment.\n-- More words.\nCREATE INDEX a ON endpoints (url)",
    ] {
        let wrong = objections(sql);
        assert!(wrong.is_empty(), "{sql}: {wrong:?}");
    }
}
