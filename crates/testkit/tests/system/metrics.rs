//! Every metric is documented, and every documented metric exists: `docs/METRICS.md` is compared with `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use plumbline_testkit::{Process, Receiver, Stack, eventually};
use serde_json::json;

/// Set, the page's table is written anew from what the processes show.
const UPDATE: &str = "UPDATE_METRICS";
const BEGIN: &str = "<!-- from /metrics: begin -->\n";
const END: &str = "<!-- from /metrics: end -->\n";
/// The last to appear of each process: the first sample of the depths, the first look of the relay's leader.
const LAST_TO_APPEAR: [&str; 2] = ["plumbline_outbox_messages", "plumbline_queue_messages_ready"];

/// What a process shows of a family.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    shown_by: BTreeSet<&'static str>,
}

fn page_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md")
}

/// Add our families of one process's text to `families`.
fn read(text: &str, process: &'static str, families: &mut BTreeMap<String, Family>) {
    let ours = |line: &str| line.starts_with("plumbline_");
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            if ours(name) {
                let family = families.entry(name.to_owned()).or_default();
                assert!(
                    family.help.is_empty() || family.help == help,
                    "two sentences for {name}: {help} | {}",
                    family.help
                );
                family.help = help.to_owned();
                family.shown_by.insert(process);
            }
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            if ours(name) {
                families.entry(name.to_owned()).or_default().kind = kind.to_owned();
            }
        } else if ours(line)
            && let Some((series, labels)) = line.split_once('{')
        {
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| series.strip_suffix(suffix))
                .find(|name| families.contains_key(*name));
            let family = families
                .get_mut(of_histogram.unwrap_or(series))
                .unwrap_or_else(|| panic!("{series} has no HELP"));
            let names = labels
                .split("=\"")
                .filter_map(|part| part.rsplit(['{', ',']).next());
            // The last part is a value; `le` is the histogram's own.
            family.labels.extend(
                names
                    .take(labels.matches("=\"").count())
                    .filter(|name| *name != "le")
                    .map(ToOwned::to_owned),
            );
        }
    }
}

fn table(families: &BTreeMap<String, Family>) -> String {
    let mut table = String::from("| metric | type | labels | of | meaning |\n|---|---|---|---|---|\n");
    for (name, family) in families {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let shown_by = match family.shown_by.len() {
            1 => family.shown_by.iter().next().copied().unwrap_or_default(),
            _ => "both",
        };
        let Family { kind, help, .. } = family;
        writeln!(
            table,
            "| `{name}` | {kind} | {} | {shown_by} | {help} |",
            labels.join(", ")
        )
        .expect("text takes text");
    }
    table
}

#[tokio::test]
async fn the_page_of_metrics_says_what_is_exported() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    let shown = async |process: &Process| stack.admin(process, "/metrics").await.expect(200).text();
    let families = eventually("the last metrics to appear", async || {
        let mut families = BTreeMap::new();
        read(&shown(stack.api_process()).await, "API", &mut families);
        read(&shown(stack.dispatcher(0)).await, "dispatcher", &mut families);
        LAST_TO_APPEAR
            .iter()
            .all(|name| families.contains_key(*name))
            .then_some(families)
    })
    .await;
    for (name, family) in &families {
        assert!(
            family.help.ends_with('.'),
            "{name} has no sentence: {}",
            family.help
        );
        assert_eq!(
            name.ends_with("_total"),
            family.kind == "counter",
            "{name} is a {}",
            family.kind
        );
        for customers in ["tenant", "endpoint", "url", "event"] {
            assert!(
                !family.labels.contains(customers),
                "{name} has the label {customers}"
            );
        }
    }

    let file = page_file();
    let page = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("the page has a place for the table");
    let (documented, after) = rest.split_once(END).expect("the table has an end");
    let exported = table(&families);
    if env::var_os(UPDATE).is_some() {
        fs::write(&file, format!("{before}{BEGIN}{exported}{END}{after}")).expect("the page can be written");
        return;
    }
    assert_eq!(
        documented, exported,
        "docs/METRICS.md is not what is exported: {UPDATE}=1 cargo nextest run -p plumbline-testkit --test system \
         -E 'test(/^metrics::/)' writes it anew"
    );
    // What is said around the table names nothing that is not in it.
    let prose = format!("{before}{after}");
    for word in prose.split(|c: char| !(c.is_ascii_lowercase() || c == '_')) {
        // What is only shown to who asks is compared by the dispatcher's own tests.
        if word.starts_with("plumbline_") && !word.starts_with("plumbline_top_tenant_") {
            assert!(
                families.contains_key(word),
                "docs/METRICS.md names {word}, which nobody exports"
            );
        }
    }
}

#[tokio::test]
async fn the_leader_of_the_relay_tells_what_waits_and_the_dispatcher_how_long_it_took() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let api = async |series: &str| stack.api_process().metric(series).await;
    eventually("the API to lead the relay", async || {
        (api("plumbline_relay_leader").await == Some(1.0)).then_some(())
    })
    .await;
    stack.dispatcher(0).stop().await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    eventually("the event to be seen waiting", async || {
        let waits = api("plumbline_outbox_messages").await == Some(1.0)
            && api("plumbline_outbox_age_seconds").await > Some(0.0);
        waits.then_some(())
    })
    .await;
    assert_eq!(
        api("plumbline_outbox_unsent_messages").await,
        Some(0.0),
        "the broker has it"
    );
    assert_eq!(api("plumbline_partitions_present").await, Some(1.0));
    assert!(api("plumbline_database_size_bytes").await > Some(0.0));

    stack.dispatcher(0).start().await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    eventually("nothing to wait", async || {
        (api("plumbline_outbox_messages").await == Some(0.0)).then_some(())
    })
    .await;
    let dispatcher = async |series: &str| stack.dispatcher(0).metric(series).await;
    for family in [
        "plumbline_event_to_fan_out_seconds",
        "plumbline_event_to_first_attempt_seconds",
    ] {
        assert_eq!(
            dispatcher(&format!("{family}_count")).await,
            Some(1.0),
            "{family}"
        );
    }
}
