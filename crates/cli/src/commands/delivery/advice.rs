//! Why a delivery failed, and what its receiver's developer does about it.

use plumbline_domain::FailureCode;

use crate::client::wire::{Attempt, Delivery};

/// In words.
pub(super) struct Advice {
    /// What happened.
    pub(super) why: String,
    /// What to do about it.
    pub(super) remedy: String,
}

/// The advice for a delivery that did not succeed; none for one that did, or has not been tried.
pub(super) fn of(delivery: &Delivery, last: Option<&Attempt>) -> Option<Advice> {
    if delivery.status == "succeeded" {
        return None;
    }
    let again = match delivery.status.as_str() {
        "pending" => "it is tried again by itself".to_owned(),
        _ => format!("then `plumbline replay {}`", delivery.id),
    };
    let code = delivery
        .error
        .as_deref()
        .or(last.and_then(|attempt| attempt.error.as_ref().map(|error| error.code.as_str())));
    let (why, remedy): (String, String) = match (delivery.status.as_str(), code.and_then(FailureCode::parse))
    {
        ("skipped", _) => (
            "the endpoint was disabled when the event came".to_owned(),
            format!(
                "`plumbline endpoints enable {0}`, then `plumbline recover {0} --since …` sends what was skipped",
                delivery.endpoint_id
            ),
        ),
        (_, Some(code)) => {
            let (why, remedy) = of_code(code, delivery.endpoint_id);
            (why.to_owned(), format!("{remedy}; {again}"))
        }
        _ => match delivery.response_status {
            Some(status) => {
                let (why, remedy) = of_status(status);
                (
                    format!("the receiver answered {status}: {why}"),
                    format!("{remedy}; {again}"),
                )
            }
            None => return None,
        },
    };
    Some(Advice { why, remedy })
}

fn of_code(code: FailureCode, endpoint: i64) -> (&'static str, String) {
    let (why, remedy) = match code {
        FailureCode::Timeout => (
            "no answer within the attempt timeout",
            "answer 2xx first, and do the work afterwards in a job",
        ),
        FailureCode::ConnectFailed => (
            "no connection",
            "look whether the receiver runs, on that port, and whether a firewall lets us in",
        ),
        FailureCode::DnsFailed => (
            "the endpoint's host name does not resolve",
            "look at the DNS entry, and at the spelling of the endpoint's URL",
        ),
        FailureCode::TlsFailed => (
            "no trusted TLS connection",
            "serve a valid certificate for that name, with its intermediate certificates",
        ),
        FailureCode::Reset => (
            "the connection broke before the answer was complete",
            "look for a crash or a proxy's limit in the receiver's logs",
        ),
        FailureCode::AddressForbidden => (
            "the endpoint's name leads to an address that may not be called, such as a private one",
            "let the name resolve to public addresses only; for a local receiver use `plumbline listen`",
        ),
        FailureCode::BadResponse => ("the answer was not HTTP", "look at what listens on that port"),
        FailureCode::EndpointDisabled => {
            return (
                "the endpoint was disabled when the retry came due",
                format!("`plumbline endpoints enable {endpoint}`"),
            );
        }
        FailureCode::EndpointDeleted => (
            "the endpoint was deleted",
            "create it again, if it should receive events",
        ),
    };
    (why, remedy.to_owned())
}

fn of_status(status: u16) -> (&'static str, &'static str) {
    match status {
        300..=399 => (
            "redirects are not followed",
            "give the endpoint the URL that it redirects to",
        ),
        400 => (
            "most often it does not believe the signature",
            "`plumbline verify` says why not, from its secret, the headers and the raw body",
        ),
        401 | 403 => (
            "it does not let us in, or does not believe the signature",
            "open the route to requests without a session; `plumbline verify` checks the signature",
        ),
        404 | 405 => (
            "there is no such route for POST",
            "look at the path of the endpoint's URL",
        ),
        410 => (
            "it wants no more events",
            "answer 2xx, and enable the endpoint again",
        ),
        413 => (
            "the payload is too large for it",
            "raise the receiver's limit on bodies",
        ),
        429 => ("it receives too much", "give the endpoint a rate limit"),
        status if status < 500 => ("it refuses the request for good", "look into the receiver's logs"),
        _ => ("it failed", "look into the receiver's logs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(status: &str, response: Option<u16>, error: Option<&str>) -> Delivery {
        Delivery {
            id: "dlv_1".to_owned(),
            event_id: "evt_1".to_owned(),
            event_type: "bid.accepted".to_owned(),
            endpoint_id: 17,
            status: status.to_owned(),
            attempt_count: 1,
            response_status: response,
            error: error.map(str::to_owned),
            next_attempt_at: None,
            created_at: String::new(),
            completed_at: None,
            replay_of: None,
        }
    }

    #[test]
    fn whatever_failed_there_is_something_to_do() {
        for code in FailureCode::ALL {
            let advice = of(&delivery("failed", None, Some(code.as_str())), None).expect("advice");
            assert!(advice.remedy.ends_with("then `plumbline replay dlv_1`"), "{code}");
        }
        for status in [301, 400, 401, 404, 410, 413, 418, 429, 500, 503] {
            let advice = of(&delivery("pending", Some(status), None), None).expect("advice");
            assert!(advice.why.contains(&status.to_string()), "{}", advice.why);
            assert!(
                advice.remedy.ends_with("it is tried again by itself"),
                "{}",
                advice.remedy
            );
        }
        let skipped = of(&delivery("skipped", None, None), None).expect("advice");
        assert!(
            skipped.remedy.contains("plumbline recover 17"),
            "{}",
            skipped.remedy
        );
        assert!(of(&delivery("succeeded", Some(200), None), None).is_none());
        assert!(
            of(&delivery("pending", None, None), None).is_none(),
            "not tried yet"
        );
    }
}
