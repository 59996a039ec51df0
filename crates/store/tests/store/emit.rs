//! `plumbline.emit`: events that a host application commits with its own rows.

use plumbline_domain::{EventType, JsonText, Lane, TenantId, Timestamp};
use plumbline_store::event_types::{self, NewEventType};
use plumbline_store::listen::Notifications;
use plumbline_store::{events, outbox};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::support::*;

/// A connection of a host application, as the tests' own user; its search path knows nothing of us.
async fn host(db: &Database) -> Client {
    connect_as(db, None).await
}

async fn connect_as(db: &Database, user: Option<&str>) -> Client {
    let mut config: Config = db.url.parse().expect("a URL");
    if let Some(user) = user {
        config.user(user).password("host");
    }
    let (client, connection) = config.connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

async fn emit(client: &Client, tenant: TenantId, event_type: &str, json: &str) -> Result<String, String> {
    emit_all(client, tenant, event_type, json, "NULL").await
}

/// The event's id, or the SQLSTATE, message and hint.
async fn emit_all(
    client: &Client,
    tenant: TenantId,
    event_type: &str,
    json: &str,
    previous: &str,
) -> Result<String, String> {
    let sql = format!("SELECT plumbline.emit({tenant}, '{event_type}', {json}, {previous})");
    match client.query_one(&sql, &[]).await {
        Ok(row) => Ok(row.get(0)),
        Err(error) => {
            let refusal = error.as_db_error().expect("the database's own answer");
            let hint = refusal.hint().unwrap_or("no hint");
            Err(format!(
                "{} {} / {hint}",
                refusal.code().code(),
                refusal.message()
            ))
        }
    }
}

#[tokio::test]
async fn g18_s1_20_an_event_is_emitted_with_its_transaction_and_not_without() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        db.endpoint(tenant).await;
        let client = host(&db).await;
        client
            .batch_execute("CREATE TABLE public.orders (id int)")
            .await
            .expect("a table");

        client
            .batch_execute("BEGIN; INSERT INTO public.orders VALUES (1)")
            .await
            .expect("begun");
        emit(&client, tenant, "change_order.approved", r#"'{"id": 1}'"#)
            .await
            .expect("emitted");
        client.batch_execute("ROLLBACK").await.expect("rolled back");
        for count in ["outbox", "events", "public.orders"] {
            assert_eq!(
                db.number(&format!("SELECT count(*) FROM {count}")).await,
                0,
                "{count}"
            );
        }

        let before = Timestamp::now();
        client
            .batch_execute("BEGIN; INSERT INTO public.orders VALUES (2)")
            .await
            .expect("begun");
        let id = emit_all(
            &client,
            tenant,
            "change_order.approved",
            r#"'{"id": 88, "status": "approved"}'"#,
            r#"'{"status": "submitted"}'"#,
        )
        .await
        .expect("emitted");
        let session = db.session().await;
        assert!(
            outbox::unsent(&session, at_most(10))
                .await
                .expect("read")
                .is_empty(),
            "not before the commit"
        );
        client.batch_execute("COMMIT").await.expect("committed");

        let rows = outbox::unsent(&session, at_most(10)).await.expect("read");
        assert_eq!(rows.len(), 1);
        let event = &rows[0].event;
        assert_eq!(event.id.to_string(), id);
        assert!(id.starts_with("evt_") && id.len() == 36, "{id}");
        assert_eq!(
            (event.tenant, event.event_type.as_str()),
            (tenant, "change_order.approved")
        );
        assert_eq!(event.data.as_str(), r#"{"id": 88, "status": "approved"}"#);
        assert_eq!(
            event.previous_attributes.as_ref().map(JsonText::as_str),
            Some(r#"{"status": "submitted"}"#)
        );
        assert_eq!((rows[0].lane, rows[0].chunk), (Lane::Fast, None));
        assert_eq!(event.endpoints_version, 1, "the endpoint existed");
        assert!(micros(before) <= event.occurred_at && event.occurred_at <= Timestamp::now());
        assert_eq!(
            &events::get(&session, tenant, event.id)
                .await
                .expect("read")
                .expect("kept"),
            event
        );
    })
    .await;
}

/// Everything that is told on the outbox's channel from now on.
async fn listen(db: &Database) -> (Client, mpsc::UnboundedReceiver<String>) {
    let config: Config = db.url.parse().expect("a URL");
    let (client, mut connection) = config.connect(NoTls).await.expect("connected");
    let (told, news) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = told.send(notification.payload().to_owned());
            }
        }
    });
    client
        .batch_execute("LISTEN plumbline_outbox")
        .await
        .expect("listening");
    (client, news)
}

#[tokio::test]
async fn the_relay_is_told_once_when_the_transaction_commits() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let (_listener, mut news) = listen(&db).await;
        let mut waiting = Notifications::connect(&db.store).await.expect("listening");
        let client = host(&db).await;
        client.batch_execute("BEGIN").await.expect("begun");
        for _ in 0..100 {
            emit(&client, tenant, "bid.created", "'{}'")
                .await
                .expect("emitted");
        }
        client
            .batch_execute("ROLLBACK; BEGIN")
            .await
            .expect("rolled back");
        for _ in 0..100 {
            emit(&client, tenant, "bid.created", "'{}'")
                .await
                .expect("emitted");
        }
        client.batch_execute("COMMIT").await.expect("committed");
        db.execute("SELECT pg_notify('plumbline_outbox', 'marker')").await;
        assert_eq!(news.recv().await.as_deref(), Some(""), "once for a hundred");
        assert_eq!(
            news.recv().await.as_deref(),
            Some("marker"),
            "and never for what was rolled back"
        );
        waiting.recv().await.expect("the relay's listener hears it, too");
        assert_eq!(
            db.number("SELECT count(*) FROM outbox WHERE state = 'unsent'")
                .await,
            100
        );
    })
    .await;
}

#[tokio::test]
async fn a_wrong_argument_is_named_with_a_sqlstate_and_a_remedy() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let own = NewEventType {
            name: "invoice.paid".parse::<EventType>().expect("a name"),
            description: None,
            schema: None,
            example: None,
        };
        event_types::create(&db.session().await, tenant, &own)
            .await
            .expect("a type");
        let client = host(&db).await;
        emit(&client, tenant, "invoice.paid", "'{}'")
            .await
            .expect("the tenant's own");

        let nested = |levels: usize| {
            format!(
                "('{}{}')::jsonb",
                r#"{"a":"#.repeat(levels - 1) + "{}",
                "}".repeat(levels - 1)
            )
        };
        let sized = |bytes: usize| format!(r#"jsonb_build_object('a', repeat('x', {}))"#, bytes - 9);
        emit(&client, tenant, "bid.created", &nested(64))
            .await
            .expect("64 levels");
        emit(&client, tenant, "bid.created", &sized(262_144))
            .await
            .expect("256 KiB");
        for (tenant, event_type, data, previous, expected) in [
            (
                tenant,
                "bid.created",
                "NULL",
                "NULL",
                "22004 plumbline.emit: data is null",
            ),
            (
                tenant,
                "bid.created",
                "'[]'",
                "NULL",
                "22023 plumbline.emit: data is a JSON array",
            ),
            (
                tenant,
                "bid.created",
                "'null'",
                "NULL",
                "22023 plumbline.emit: data is a JSON null",
            ),
            (
                tenant,
                "bid.created",
                "'{}'",
                "'7'",
                "22023 plumbline.emit: previous_attributes is a JSON number",
            ),
            (
                tenant,
                "bid.exploded",
                "'{}'",
                "NULL",
                "22023 plumbline.emit: type 'bid.exploded' is not in the catalogue",
            ),
            (
                other,
                "invoice.paid",
                "'{}'",
                "NULL",
                "22023 plumbline.emit: type 'invoice.paid' is not in the catalogue",
            ),
            (
                tenant,
                "webhook.test",
                "'{}'",
                "NULL",
                "22023 plumbline.emit: type 'webhook.test' is emitted by the service itself",
            ),
            (
                tenant,
                "endpoint.disabled",
                "'{}'",
                "NULL",
                "22023 plumbline.emit: type 'endpoint.disabled' is emitted",
            ),
            (
                TenantId(4711),
                "bid.created",
                "'{}'",
                "NULL",
                "22023 plumbline.emit: tenant_id 4711 is no tenant",
            ),
            (
                tenant,
                "bid.created",
                &sized(262_145),
                "NULL",
                "54000 plumbline.emit: data and previous_attributes have 262145 bytes",
            ),
            (
                tenant,
                "bid.created",
                &sized(262_140),
                "'{\"a\": 1}'",
                "54000 plumbline.emit: data and previous_attributes have",
            ),
            (
                tenant,
                "bid.created",
                &nested(65),
                "NULL",
                "54000 plumbline.emit: data is nested more than 64 levels deep",
            ),
            (
                tenant,
                "bid.created",
                "'{}'",
                &nested(65),
                "54000 plumbline.emit: previous_attributes is nested more than",
            ),
        ] {
            let refused = emit_all(&client, tenant, event_type, data, previous)
                .await
                .expect_err(expected);
            assert!(refused.starts_with(expected), "{refused}, not {expected}");
            assert!(!refused.ends_with("no hint"), "{refused}");
        }
        for (setting, data, expected) in [
            ("100", sized(101), "54000"),
            (
                "many",
                sized(20),
                "22023 plumbline.emit: the setting plumbline.max_payload_bytes is 'many'",
            ),
        ] {
            client
                .execute(&format!("SET plumbline.max_payload_bytes = '{setting}'"), &[])
                .await
                .expect("set");
            let refused = emit(&client, tenant, "bid.created", &data)
                .await
                .expect_err(expected);
            assert!(refused.starts_with(expected), "{refused}");
        }
        client
            .execute("RESET plumbline.max_payload_bytes", &[])
            .await
            .expect("reset");
        emit(&client, tenant, "bid.created", &sized(101))
            .await
            .expect("the default again");
        assert_eq!(
            db.number("SELECT count(*) FROM outbox").await,
            4,
            "what was refused left nothing"
        );
    })
    .await;
}

#[tokio::test]
async fn a_role_needs_usage_and_execute_and_gets_nothing_else() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let role = format!("host_{:032x}", rand::random::<u128>());
        db.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'host'"))
            .await;
        let test = async {
            let client = connect_as(&db, Some(&role)).await;
            let refused = emit(&client, tenant, "bid.created", "'{}'")
                .await
                .expect_err("no grant");
            assert!(refused.starts_with("42501"), "{refused}");
            db.execute(&format!("GRANT USAGE ON SCHEMA plumbline TO {role}"))
                .await;
            let refused = emit(&client, tenant, "bid.created", "'{}'")
                .await
                .expect_err("no EXECUTE");
            assert!(refused.starts_with("42501"), "not for PUBLIC: {refused}");
            db.execute(&format!(
                "GRANT EXECUTE ON FUNCTION plumbline.emit(bigint, text, jsonb, jsonb) TO {role}"
            ))
            .await;
            emit(&client, tenant, "bid.created", "'{}'")
                .await
                .expect("granted");

            for sql in [
                "SELECT * FROM plumbline.events",
                "SELECT * FROM plumbline.endpoint_secrets",
                "SELECT * FROM plumbline.tenants",
                "DELETE FROM plumbline.outbox",
                "CREATE TABLE plumbline.mine ()",
                "SELECT plumbline.ensure_partitions('2040-01-01', '2040-01-01')",
            ] {
                let refused = client.batch_execute(sql).await.expect_err(sql);
                assert_eq!(
                    refused.code().map(|code| code.code()),
                    Some("42501"),
                    "{sql}: {refused}"
                );
            }
            // Its own objects are not taken for ours, wherever they come in its search path.
            let hijack = "
                CREATE TEMPORARY TABLE tenants (id bigint, endpoints_version bigint);
                CREATE TEMPORARY TABLE events (tenant_id bigint);
                CREATE TEMPORARY TABLE outbox (event_id uuid);
                CREATE FUNCTION pg_temp.uuid_v7(timestamptz) RETURNS uuid LANGUAGE sql
                    AS $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;
                SET search_path = pg_temp, public";
            client
                .batch_execute(hijack)
                .await
                .expect("its own temporary objects");
            emit(&client, tenant, "bid.created", "'{}'")
                .await
                .expect("still ours");
            assert_eq!(db.number("SELECT count(*) FROM outbox").await, 2);
        };
        let result = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(test)).await;
        db.execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"))
            .await;
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}

#[tokio::test]
async fn open_host_transactions_wait_neither_for_each_other_nor_for_endpoints() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let (one, two) = (host(&db).await, host(&db).await);
        // Should anything have to wait, it is an error and not a stalled test.
        for client in [&one, &two] {
            client
                .batch_execute("SET lock_timeout = '2s'; BEGIN")
                .await
                .expect("begun");
        }
        db.execute("SET lock_timeout = '2s'").await;
        let first = emit(&one, tenant, "bid.created", r#"'{"id": 1}'"#)
            .await
            .expect("emitted");
        // An endpoint is registered while both are open: it is not for the event that was emitted before.
        db.endpoint(tenant).await;
        let second = emit(&two, tenant, "bid.created", r#"'{"id": 2}'"#)
            .await
            .expect("emitted");
        db.execute("UPDATE tenants SET name = 'Acme again'").await;
        two.batch_execute("COMMIT").await.expect("committed");
        one.batch_execute("COMMIT").await.expect("committed");

        let rows = outbox::unsent(&db.session().await, at_most(10))
            .await
            .expect("read");
        let versions: Vec<_> = rows
            .iter()
            .map(|row| (row.event.id.to_string(), row.event.endpoints_version))
            .collect();
        assert_eq!(versions, [(first, 0), (second, 1)]);
    })
    .await;
}

#[tokio::test]
async fn many_transactions_at_once_emit_each_its_own() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let work = (0..8).map(|worker| {
            let db = &db;
            async move {
                let client = host(db).await;
                for number in 0..20 {
                    let keep = number % 2 == 0;
                    client.batch_execute("BEGIN").await.expect("begun");
                    emit(
                        &client,
                        tenant,
                        "bid.created",
                        &format!(r#"'{{"worker": {worker}, "keep": {keep}}}'"#),
                    )
                    .await
                    .expect("emitted");
                    client
                        .batch_execute(if keep { "COMMIT" } else { "ROLLBACK" })
                        .await
                        .expect("ended");
                }
            }
        });
        futures_util::future::join_all(work).await;
        assert_eq!(db.number("SELECT count(DISTINCT event_id) FROM outbox").await, 80);
        assert_eq!(
            db.number("SELECT count(*) FROM events WHERE data LIKE '%false%'")
                .await,
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_day_without_a_partition_gets_one() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let today = "to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')";
        db.execute(&format!(
            "DO $$ BEGIN
                EXECUTE 'DROP TABLE events_p' || {today} || ', deliveries_p' || {today}
                    || ', delivery_attempts_p' || {today};
            END $$"
        ))
        .await;
        let client = host(&db).await;
        emit(&client, tenant, "bid.created", "'{}'")
            .await
            .expect("emitted all the same");
        assert_eq!(db.number("SELECT count(*) FROM events").await, 1);
    })
    .await;
}
