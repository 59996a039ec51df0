//! Construction records: what the schema itself refuses, and that who waited for a lock reads what happened meanwhile.

use plumbline_domain::construction::{
    ChangeOrder, ChangeOrderDetails, Item, Money, Project, ProjectDetails, ProjectStatus, Quantity,
};
use plumbline_domain::{ChangeOrderId, ProjectId, TenantId};
use plumbline_store::construction;

use crate::support::*;

async fn project(db: &Database, tenant: TenantId) -> ProjectId {
    let details = ProjectDetails {
        name: "HQ".to_owned(),
        contact: None,
        contract_value: Money::ZERO,
        status: ProjectStatus::Active,
    };
    let session = db.begin().await;
    let project = construction::insert::<Project>(&session, tenant, &details).await;
    session.commit().await.expect("committed");
    project.expect("inserted").id
}

async fn change_order(db: &Database, tenant: TenantId) -> ChangeOrderId {
    let details = ChangeOrderDetails {
        project: project(db, tenant).await,
        title: None,
        items: vec![],
    };
    let session = db.begin().await;
    let order = construction::insert::<ChangeOrder>(&session, tenant, &details).await;
    session.commit().await.expect("committed");
    order.expect("inserted").id
}

#[tokio::test]
async fn a_reference_never_crosses_tenants_whoever_writes_it() {
    with_database(async |db: Database| {
        let (ours, theirs) = (db.tenant().await, db.tenant().await);
        let foreign = project(&db, theirs).await;
        for insert in [
            "bids (tenant_id, number, project_id, status) VALUES ($1, 1, $2, 'draft')",
            "pay_apps (tenant_id, project_id, amount_cents, status) VALUES ($1, $2, 0, 'draft')",
            "change_orders (tenant_id, project_id, status) VALUES ($1, $2, 'draft')",
        ] {
            let sql = format!("INSERT INTO {insert}");
            let refused = db
                .sql
                .execute(&sql, &[&ours.0, &foreign.0])
                .await
                .expect_err(insert);
            assert_eq!(refused.code().map(|code| code.code()), Some("23503"), "{insert}");
            db.sql
                .execute(&sql, &[&theirs.0, &foreign.0])
                .await
                .expect("the same within the tenant");
        }
    })
    .await;
}

#[tokio::test]
async fn no_state_without_what_leads_to_it() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let order = change_order(&db, tenant).await;
        for (change, is_fine) in [
            ("status = 'submitted'", false),
            ("status = 'approved', submitted_at = now()", false),
            ("approved_at = now()", false),
            ("status = 'rejected', submitted_at = now()", false),
            ("status = 'submitted', submitted_at = now()", true),
            ("status = 'approved', approved_at = now()", true),
        ] {
            let sql = format!("UPDATE change_orders SET {change} WHERE tenant_id = $1 AND id = $2");
            let changed = db.sql.execute(&sql, &[&tenant.0, &order.0]).await;
            match changed {
                Ok(rows) => assert!(is_fine && rows == 1, "{change}"),
                Err(refused) => {
                    let code = refused.code().map(|code| code.code().to_owned());
                    assert!(
                        !is_fine && code.as_deref() == Some("23514"),
                        "{change}: {refused}"
                    );
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_waited_for_a_record_reads_the_items_that_were_added_meanwhile() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let order = change_order(&db, tenant).await;
        let item = Item {
            description: "Door".to_owned(),
            quantity: Quantity::from_thousandths(1_000).expect("some"),
            unit_price: Money::ZERO,
        };
        let (first, second) = (db.begin().await, db.begin().await);
        construction::lock::<ChangeOrder>(&first, tenant, order)
            .await
            .expect("locked");
        let waiting = construction::lock::<ChangeOrder>(&second, tenant, order);
        tokio::pin!(waiting);
        let adding = async {
            // The other one has begun to wait: it is seen waiting for a lock.
            let waiting = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while db.number(waiting).await == 0 {
                tokio::task::yield_now().await;
            }
            construction::append_to_change_order(&first, tenant, order, 0, &[item])
                .await
                .expect("added");
            first.commit().await.expect("committed");
        };
        let (found, ()) = tokio::join!(&mut waiting, adding);
        let found = found.expect("locked").expect("it is there");
        assert_eq!(found.details.items.len(), 1);
    })
    .await;
}
