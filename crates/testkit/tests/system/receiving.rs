//! The receivers' guide from a customer's request to the customer's receiver: the files of `docs/receiving` behind the real
//! dispatcher.

use std::fs;
use std::process::Command;

use hyper::Method;
use plumbline_testkit::{Api, Stack, eventually, ports};
use serde_json::{Value, json};

use crate::peers::installed;
use crate::sample::{self, Language, Sample};
use crate::{ends, text};

/// An endpoint of a profile whose receiver is yet to be started.
struct Registered {
    number: i64,
    secret: String,
    port: u16,
    /// What it subscribes to, as producers call it and as its customers do.
    names: (&'static str, &'static str),
}

impl Registered {
    /// As each product's own page has it done.
    async fn new(api: &Api, profile: &str) -> Self {
        let port = ports::free().port();
        let url = sample::url(port);
        let (number, secret, names) = match profile {
            "buildworkpro" => {
                let endpoint = api.create_endpoint(&url, &["bid.accepted"]).await;
                (endpoint.id, endpoint.secret, ("bid.accepted", "bid.accepted"))
            }
            "buildr" => {
                let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
                let webhook = json!({"url": url, "filter_types": ["contact.create"], "secret": secret});
                let path = "/api/2023-01/webhooks";
                let made = api.at(Method::POST, path, &json!({"webhook": webhook})).await;
                let made = made.expect(201).json();
                let number = number(api, text(&made["webhook"], "id")).await;
                (number, secret.to_owned(), ("contact.created", "contact.create"))
            }
            _ => {
                let webhook = json!({"url": url, "events": ["order.filled"]});
                let made = api.at(Method::POST, "/v1/webhooks", &webhook).await;
                let made = made.expect(201).json();
                let number = number(api, text(&made, "id")).await;
                (
                    number,
                    text(&made, "secret").to_owned(),
                    ("order.filled", "order.filled"),
                )
            }
        };
        Self {
            number,
            secret,
            port,
            names,
        }
    }

    /// Publish an event, wait until the receiver has it, and say what its line should be; and the delivery.
    async fn deliver(&self, api: &Api) -> (String, Value) {
        let data = json!({"id": 22, "name": "Zoë \u{1f3d7}", "amount": 1250.5});
        let event = api.publish(self.names.0, data).await;
        let delivery = api.wait_delivery_status(self.number, &event, "succeeded").await;
        assert_eq!(ends(&delivery), ["200"]);
        (format!("{} {event}", self.names.1), delivery)
    }
}

/// The native number of an endpoint.
async fn number(api: &Api, uid: &str) -> i64 {
    let endpoints = api.get("webhook-endpoints?limit=100").await;
    let mut endpoints = endpoints.as_array().expect("a list").iter();
    let found = endpoints.find(|endpoint| endpoint["uid"] == uid);
    found.expect("listed")["id"].as_i64().expect("a number")
}

#[tokio::test]
async fn the_guides_receivers_get_what_is_published_and_do_a_replay_only_once() {
    let stack = Stack::start().await;
    let api = stack.api();
    for (profile, language) in [
        ("buildworkpro", Language::Python),
        ("buildr", Language::Node),
        ("buildmarkets", Language::Php),
    ] {
        let endpoint = Registered::new(api, profile).await;
        let sample = Sample::start_on(endpoint.port, profile, language, &endpoint.secret).await;
        let (line, delivery) = endpoint.deliver(api).await;
        assert_eq!(sample.received(), std::slice::from_ref(&line), "{profile}");

        let path = format!("webhook-deliveries/{}/replay", text(&delivery, "id"));
        let replay = api.post(&path, json!({}), 202).await;
        let replayed = api.wait_delivery(text(&replay, "id"), "succeeded").await;
        assert_eq!(ends(&replayed), ["200"]);
        assert_eq!(sample.received(), std::slice::from_ref(&line), "{profile}");

        let path = format!("webhook-endpoints/{}/test", endpoint.number);
        let test = api.post(&path, json!({}), 202).await;
        let event = text(&test, "eventId");
        api.wait_delivery_status(endpoint.number, event, "succeeded")
            .await;
        let expected = [line, format!("webhook.test {event}")];
        assert_eq!(sample.received(), expected, "{profile}");
    }

    // "Do each event once": the second time inserts nothing.
    let page = fs::read_to_string(sample::guide().join("reliability.md")).expect("it is there");
    let mut blocks = page.split("<!-- run -->\n```sql\n").skip(1);
    let mut block = || blocks.next().expect("two").split("```").next().expect("a block");
    let (create, insert) = (block(), block());
    let client = stack.database().connect().await;
    client
        .batch_execute(create)
        .await
        .expect("PostgreSQL takes the table");
    for rows in [1, 0] {
        let inserted = client
            .execute(insert, &[])
            .await
            .expect("PostgreSQL takes the row");
        assert_eq!(inserted, rows);
    }
}

/// What "Rotate a secret" of the guide says for BuildWorkPro: no request is refused on the way.
#[tokio::test]
async fn g5_the_guides_way_to_rotate_a_secret_refuses_nothing() {
    let stack = Stack::start().await;
    let api = stack.api();
    let endpoint = Registered::new(api, "buildworkpro").await;
    let of = |verb: &str| format!("webhook-endpoints/{}/{verb}", endpoint.number);
    let prepared = api
        .post(&of("rotate-secret"), json!({"activateInSeconds": 86_400}), 200)
        .await;
    let new = text(&prepared, "signingSecret");
    let both = format!("{},{new}", endpoint.secret);
    let sample = Sample::start_on(endpoint.port, "buildworkpro", Language::Node, &both).await;
    endpoint.deliver(api).await;
    api.post(&of("activate-secret"), json!({}), 200).await;
    // Whichever of the two signs at the moment.
    for _ in 0..3 {
        endpoint.deliver(api).await;
    }
    drop(sample);
    // "Some minutes later": when the new one has taken over everywhere.
    let sample = Sample::start_on(endpoint.port, "buildworkpro", Language::Node, new).await;
    let event = eventually("the new secret to sign", async || {
        let event = api.publish(endpoint.names.0, json!({"id": 22})).await;
        let deliveries = eventually("the delivery to end", async || {
            let deliveries = api
                .deliveries_with(endpoint.number, &format!("eventId={event}"))
                .await;
            let ended = deliveries.first().is_some_and(|row| row["status"] != "pending");
            ended.then_some(deliveries)
        })
        .await;
        (deliveries[0]["status"] == "succeeded").then_some(event)
    })
    .await;
    assert_eq!(sample.received(), [format!("bid.accepted {event}")]);
}

#[tokio::test]
async fn the_libraries_of_the_guide_believe_us_as_it_shows_them() {
    let stack = Stack::start().await;
    let api = stack.api();

    let endpoint = Registered::new(api, "buildr").await;
    let directory = stack.directory().join("svix");
    fs::create_dir_all(&directory).expect("the scratch directory can be written");
    fs::copy(
        sample::guide().join("libraries/buildr.js"),
        directory.join("receiver.mjs"),
    )
    .expect("it is there");
    std::os::unix::fs::symlink(installed().join("node_modules"), directory.join("node_modules"))
        .expect("the scratch directory can be written");
    let mut command = Command::new("node");
    command.arg("receiver.mjs").current_dir(&directory);
    judge(api, &endpoint, command).await;

    let endpoint = Registered::new(api, "buildmarkets").await;
    let mut command = Command::new("python3");
    command
        .arg(sample::guide().join("libraries/buildmarkets.py"))
        .env("PYTHONPATH", installed().join("python"));
    judge(api, &endpoint, command).await;
}

/// It believes what is meant for it, and refuses what another secret signed.
async fn judge(api: &Api, endpoint: &Registered, mut command: Command) {
    command.env("WEBHOOK_SECRET", &endpoint.secret);
    let sample = Sample::run_on(endpoint.port, command).await;
    let (line, _) = endpoint.deliver(api).await;
    assert_eq!(sample.received(), std::slice::from_ref(&line));

    let stranger = api.create_endpoint(&sample.url(), &["bid.accepted"]).await;
    let event = api.publish("bid.accepted", json!({"id": 1})).await;
    let refused = api.wait_delivery_status(stranger.id, &event, "failed").await;
    assert_eq!(ends(&refused), ["400"]);
    assert_eq!(sample.received(), [line]);
}
