//! The pages say what is so: the code they show is what the tests run, and their tables are the domain's.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plumbline_domain::signing::Signer;
use plumbline_domain::{
    FailureCode, KeyDerivation, Next, Profile, RetrySchedule, SecretVersion, SigningSecret, Timestamp,
    Verdict,
};

use crate::sample::{Language, guide, new_directory};
use crate::{NO_FIT, STALE, form_of, signature_headers};

/// What stands before a block that is a file: `<!-- file: verify/buildr.js -->`.
const FILE: &str = "<!-- file: ";
/// What stands before a block that is run here.
const RUN: &str = "<!-- run -->\n```";
/// Set, the pages are written anew from the files.
const UPDATE: &str = "UPDATE_GUIDE";

const GOLDEN_BODY: &[u8] = br#"{"id":"evt_1"}"#;
const GOLDEN_SECONDS: i64 = 1_777_138_921;
const BASE64_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn page(name: &str) -> String {
    read(&guide().join(name))
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = fs::read_dir(guide())
        .expect("the guide is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() >= 8, "{pages:?}");
    pages
}

#[test]
fn the_pages_show_the_files_that_are_tested_each_once() {
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for path in pages() {
        let old = read(&path);
        let mut parts = old.split(FILE);
        let mut new = parts.next().expect("a text has a beginning").to_owned();
        for part in parts {
            let (name, rest) = part.split_once(" -->\n```").expect("a block follows the name");
            let (language, rest) = rest.split_once('\n').expect("the block's language");
            let end = if rest.starts_with("```") {
                0
            } else {
                rest.find("\n```\n").expect("the block ends") + 1
            };
            let file = read(&guide().join(name));
            assert!(!file.contains("```"), "{name} would end its own block");
            assert!(
                name.ends_with(&format!(".{language}")),
                "{name} is shown as {language}"
            );
            new.push_str(&format!(
                "{FILE}{name} -->\n```{language}\n{file}{}",
                &rest[end..]
            ));
            *shown.entry(name.to_owned()).or_default() += 1;
        }
        if new != old {
            assert!(
                env::var_os(UPDATE).is_some(),
                "{} shows something else than the files: `{UPDATE}=1 cargo test -p plumbline-testkit --test receiving documents` \
                 writes it anew",
                path.display()
            );
            fs::write(&path, new).expect("the page can be written");
        }
    }
    let receivers = Profile::ALL.iter().flat_map(|profile| {
        Language::ALL.map(|language| format!("verify/{}.{}", profile.as_str(), language.extension()))
    });
    let libraries = ["libraries/buildmarkets.py", "libraries/buildr.js"].map(str::to_owned);
    let expected: BTreeMap<String, usize> = receivers.chain(libraries).map(|name| (name, 1)).collect();
    assert_eq!(shown, expected);
}

/// The console puts an endpoint's secret where the placeholder stands.
#[test]
fn each_receiver_has_the_placeholder_of_its_secret_once() {
    for profile in Profile::ALL {
        for language in Language::ALL {
            let name = format!("verify/{}.{}", profile.as_str(), language.extension());
            let file = page(&name);
            assert_eq!(file.matches("whsec_REPLACE_ME").count(), 1, "{name}");
            assert!(file.contains("WEBHOOK_SECRET"), "{name}");
        }
    }
}

#[test]
fn every_error_has_its_row() {
    let page = page("troubleshooting.md");
    let mut texts: Vec<String> = FailureCode::ALL.map(|code| code.as_str().to_owned()).to_vec();
    texts.extend([NO_FIT, STALE].map(str::to_owned));
    for profile in Profile::ALL {
        let names = signature_headers(profile);
        texts.extend(names.iter().map(|name| format!("no {name} header")));
        texts.push(form_of(profile));
        if let [_, time, _] = names {
            texts.push(format!("the {time} header is not a number of seconds"));
        }
    }
    for text in texts {
        let in_row = |line: &str| line.starts_with('|') && line.contains(&format!("`{text}`"));
        assert!(
            page.lines().any(in_row),
            "troubleshooting.md has no row for `{text}`"
        );
    }
}

#[test]
fn the_table_of_retries_is_the_schedule() {
    let schedule = RetrySchedule::default();
    let page = page("reliability.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.len() == 3 && cells[0].parse::<u16>().is_ok())
        .collect();
    assert_eq!(rows.len(), schedule.attempts());
    let seconds = |text: &str| -> u64 {
        text.split(' ')
            .collect::<Vec<_>>()
            .chunks(2)
            .map(|pair| {
                let number: f64 = pair[0].parse().expect("a number");
                let unit = match pair[1] {
                    "s" => 1_u32,
                    "min" => 60,
                    "h" => 3_600,
                    other => panic!("{other}"),
                };
                (std::time::Duration::from_secs(u64::from(unit)).mul_f64(number)).as_secs()
            })
            .sum()
    };
    let mut sum = 0;
    for (row, number) in rows.iter().skip(1).zip(1..) {
        let next = schedule.after(number, Verdict::Retryable { asked: None }, 0.5);
        let Next::Retry { after } = next else {
            panic!("attempt {number}: {next:?}")
        };
        assert_eq!(seconds(row[1]), after.as_secs(), "{row:?}");
        sum += after.as_secs();
        // Rounded down to the minute where it is hours.
        assert!(
            (seconds(row[2])..seconds(row[2]) + 60).contains(&sum),
            "{row:?}: {sum} s"
        );
    }
}

fn signer(secret: &str, derivation: KeyDerivation) -> Signer {
    let version = SecretVersion {
        secret: SigningSecret::from_text(secret.to_owned()),
        derivation,
        activates_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
    };
    Signer::new(&[version]).expect("decodable")
}

fn golden_hex() -> String {
    let at = Timestamp::from_second(GOLDEN_SECONDS).expect("in range");
    let signer = signer("whsec_test", KeyDerivation::Literal);
    signer.buildworkpro(at, GOLDEN_BODY).expect("signed")
}

fn golden_base64() -> String {
    let at = Timestamp::from_second(GOLDEN_SECONDS).expect("in range");
    let signer = signer(BASE64_SECRET, KeyDerivation::Base64);
    signer.standard("evt_1", at, GOLDEN_BODY).expect("signed")
}

#[test]
fn the_test_vectors_are_right() {
    let page = page("signatures.md");
    for (secret, signature) in [("whsec_test", golden_hex()), (BASE64_SECRET, golden_base64())] {
        let in_row =
            |line: &str| line.contains(&format!("`{secret}`")) && line.contains(&format!("`{signature}`"));
        assert!(
            page.lines().any(in_row),
            "signatures.md has no row with {secret} and {signature}"
        );
    }
}

#[test]
fn the_requests_that_are_shown_are_signed() {
    for profile in Profile::ALL {
        let page = page(&format!("{}.md", profile.as_str()));
        let block = page.split("```http\n").nth(1).expect("a request");
        let request = block.split("\n```").next().expect("the block ends");
        let (head, body) = request.split_once("\n\n").expect("a body follows the headers");
        let headers: BTreeMap<&str, &str> = head.lines().filter_map(|line| line.split_once(": ")).collect();
        let of = |name: &str| *headers.get(name).unwrap_or_else(|| panic!("no {name} in {head}"));
        let at =
            |seconds: &str| Timestamp::from_second(seconds.parse().expect("a number")).expect("in range");
        let names = signature_headers(profile);
        let (shown, secret, expected) = match names {
            [signature] => {
                let shown = of(signature);
                let seconds = shown.split(['=', ',']).nth(1).expect("a time");
                let signer = signer("whsec_test", KeyDerivation::Literal);
                (
                    shown,
                    "whsec_test",
                    signer.buildworkpro(at(seconds), body.as_bytes()),
                )
            }
            [id, time, signature] => {
                let signer = signer(BASE64_SECRET, KeyDerivation::Base64);
                let expected = signer.standard(of(id), at(of(time)), body.as_bytes());
                (of(signature), BASE64_SECRET, expected)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(Some(shown), expected.as_deref(), "{profile:?}");
        assert_eq!(of("User-Agent"), profile.user_agent());
        assert!(
            page.contains(&format!("`{secret}`")),
            "{profile:?} names its secret"
        );
    }
}

/// The blocks of a page that are run, by language.
fn to_run(name: &str, language: &str) -> String {
    let page = page(name);
    let blocks = page.split(RUN).skip(1);
    let of_language: Vec<&str> = blocks
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'))
        .map(|block| block.split("```").next().unwrap_or_default())
        .collect();
    assert_eq!(of_language.len(), 1, "{name} has one block of {language} to run");
    of_language[0].to_owned()
}

#[test]
fn the_snippets_sign_as_we_do() {
    let directory = new_directory();
    for (program, file, code, expected) in [
        (
            "node",
            "sign.mjs",
            to_run("testing.md", "js") + r#"console.log(sign('whsec_test', '{"id":"evt_1"}', 1777138921));"#,
            golden_hex(),
        ),
        (
            "python3",
            "sign.py",
            to_run("testing.md", "py")
                + &format!(r#"print(sign("{BASE64_SECRET}", "evt_1", '{{"id":"evt_1"}}', 1777138921))"#),
            golden_base64(),
        ),
        (
            "sh",
            "sign.sh",
            to_run("signatures.md", "sh"),
            golden_hex().split_once("v1=").expect("two fields").1.to_owned(),
        ),
    ] {
        let path = directory.join(file);
        fs::write(&path, code).expect("a temporary file");
        let ended = Command::new(program)
            .arg(&path)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(said.trim_end().ends_with(&expected), "{program} says {ended:?}");
    }
    fs::remove_dir_all(directory).expect("a temporary directory");
}

#[test]
fn every_link_leads_somewhere() {
    for path in pages() {
        let text = read(&path);
        let directory = path.parent().expect("a file has a directory");
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                directory.join(file)
            };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            assert!(
                anchor.is_empty() || anchors(&read(&target)).any(|known| known == anchor),
                "{}: {link} names no heading",
                path.display()
            );
        }
    }
}

/// What a page's headings are called in links.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    page.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| {
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
}
