//! Each OpenAPI document is true of the running service: a stranger to the code walks through it, sends what it allows
//! and what it forbids, and finds no server error and no answer that the document does not have.

use std::process::Stdio;

use plumbline_testkit::Stack;
use tokio::process::Command;

use crate::peers::installed;

/// What each answer must be.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// Walk through a document with a key for everything.
async fn walk(document: &str, examples: usize) {
    let stack = Stack::builder()
        .setting("RATE_LIMIT_PER_KEY", "0")
        .setting("MAX_ENDPOINTS_PER_TENANT", "100000")
        .start()
        .await;
    let url = format!("http://{}{document}", stack.listen());
    let authorization = format!("Authorization: Bearer {}", stack.api().key());
    let walk = Command::new("python3")
        .args(["-m", "schemathesis.cli", "run", &url, "--header", &authorization])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &examples.to_string(), "--seed", "1"])
        // A stream has no end to wait for: see the module `live`.
        .args(["--exclude-path-regex", "/stream$"])
        .args([
            "--generation-database",
            "none",
            "--continue-on-failure",
            "--no-color",
        ])
        .env("PYTHONPATH", installed().join("python"))
        .current_dir(stack.directory())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("python3 runs: `make test-up` installs what it needs");
    let printed = String::from_utf8_lossy(&walk.stdout);
    assert!(
        walk.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&walk.stderr)
    );
    for phase in ["Coverage (in ", "Fuzzing (in "] {
        assert!(printed.contains(phase), "it should have walked: {printed}");
    }
}

#[tokio::test]
async fn the_native_document_is_true() {
    walk("/api/v1/openapi.json", 8).await;
}

#[tokio::test]
async fn buildrs_document_is_true() {
    walk("/api/2023-01/openapi.json", 25).await;
}

#[tokio::test]
async fn buildmarkets_document_is_true() {
    walk("/v1/openapi.json", 25).await;
}
