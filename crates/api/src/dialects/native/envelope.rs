//! The envelope of every answer: `{"data": …, "meta": {"request_id": "req_…"}}`.

use std::fmt::Display;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use plumbline_domain::TenantId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Cursors, ListKind, RequestId, respond};

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Envelope<T> {
    /// What was asked for.
    data: T,
    meta: Meta,
}

/// What is to be known about an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Meta {
    /// The id of the request that this is the answer to: name it when you ask for help.
    #[schema(example = "req_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    request_id: String,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The page's elements.
    data: Vec<T>,
    meta: PageMeta,
}

/// What is to be known about a page.
#[derive(Debug, Serialize, ToSchema)]
struct PageMeta {
    /// The id of the request that this is the answer to: name it when you ask for help.
    #[schema(example = "req_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    request_id: String,
    pagination: Pagination,
}

/// Where a page ends.
#[derive(Debug, Serialize, ToSchema)]
struct Pagination {
    /// Pass it as `cursor` to get the next page; null on the last one.
    #[schema(required = true)]
    cursor: Option<String>,
    /// Whether there is a next page.
    has_more: bool,
    /// The number of elements of this page.
    count: usize,
}

/// An answer's text.
pub(super) fn text<T: Serialize>(id: RequestId, data: T) -> String {
    let envelope = Envelope {
        data,
        meta: Meta {
            request_id: id.to_string(),
        },
    };
    serde_json::to_string(&envelope).expect("the wire types have string keys only, so they are JSON")
}

/// Data without an envelope: of a stream, which is one answer.
pub(super) fn bare<T: Serialize>(data: &T) -> String {
    serde_json::to_string(data).expect("the wire types have string keys only, so they are JSON")
}

/// 200 with this data.
pub(super) fn ok<T: Serialize>(id: RequestId, data: T) -> HttpResponse {
    respond(StatusCode::OK, text(id, data))
}

/// How a list goes on after a page.
pub(super) struct Paging<'a> {
    /// Whose list.
    pub(super) tenant: TenantId,
    /// Which list.
    pub(super) list: ListKind,
    /// Elements of a page at most.
    pub(super) limit: usize,
    /// Seals the position.
    pub(super) cursors: &'a Cursors,
}

impl Paging<'_> {
    /// How many to ask the engine for: one more than the page holds tells whether there is another page.
    pub(super) fn fetch(limit: usize) -> usize {
        limit + 1
    }

    /// 200 with a page of what was fetched; `position` says where an element stands in the list.
    pub(super) fn page<R, T: Serialize, P: Display>(
        &self,
        id: RequestId,
        mut fetched: Vec<R>,
        position: impl Fn(&R) -> P,
        wire: impl Fn(R) -> T,
    ) -> HttpResponse {
        let has_more = fetched.len() > self.limit;
        fetched.truncate(self.limit);
        let cursor = fetched
            .last()
            .filter(|_| has_more)
            .map(|last| self.cursors.seal(self.tenant, self.list, position(last)));
        let pagination = Pagination {
            cursor,
            has_more,
            count: fetched.len(),
        };
        let page = Page {
            data: fetched.into_iter().map(wire).collect(),
            meta: PageMeta {
                request_id: id.to_string(),
                pagination,
            },
        };
        let text =
            serde_json::to_string(&page).expect("the wire types have string keys only, so they are JSON");
        respond(StatusCode::OK, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    #[test]
    fn s0_12_an_answer_is_wrapped_in_data() {
        let id = RequestId::fresh();
        assert_eq!(
            text(id, [1, 2]),
            format!(r#"{{"data":[1,2],"meta":{{"request_id":"{id}"}}}}"#)
        );
    }

    #[actix_web::test]
    async fn a_page_says_whether_there_is_another() {
        let cursors = Cursors::new([3; 32]);
        let paging = Paging {
            tenant: TenantId(1),
            list: ListKind::Events,
            limit: 2,
            cursors: &cursors,
        };
        for (fetched, count, has_more) in [
            (vec![], 0, false),
            (vec![9, 8], 2, false),
            (vec![9, 8, 7], 2, true),
        ] {
            let page = paging.page(RequestId::fresh(), fetched, |n| *n, |n: i64| n);
            let body = to_bytes(page.into_body()).await.expect("a body");
            let page: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let pagination = &page["meta"]["pagination"];
            assert_eq!(pagination["count"], count);
            assert_eq!(pagination["has_more"], has_more);
            assert_eq!(page["data"].as_array().expect("a list").len(), count);
            match pagination["cursor"].as_str() {
                Some(cursor) => {
                    let after: String = cursors.open(TenantId(1), ListKind::Events, cursor).expect("ours");
                    assert_eq!((after.as_str(), has_more), ("8", true));
                }
                None => assert!(!has_more),
            }
        }
    }
}
