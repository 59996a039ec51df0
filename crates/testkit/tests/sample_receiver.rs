//! The sample receiver believes only what is signed with the secret in its file, and says what it got.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use hmac::{Hmac, KeyInit, Mac};
use hyper::Method;
use plumbline_testkit::eventually;
use plumbline_testkit::http::{Answer, HttpClient};
use sha2::Sha256;

struct Sample {
    child: Child,
    directory: PathBuf,
    port: String,
}

impl Sample {
    async fn start() -> Self {
        let directory = env::temp_dir().join(format!("plumbline-sample-{:016x}", rand::random::<u64>()));
        fs::create_dir_all(&directory).expect("a temporary directory");
        let output = fs::File::create(directory.join("output")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_plumbline-sample-receiver"))
            .args(["--listen", "127.0.0.1:0", "--secret-file"])
            .arg(directory.join("secret"))
            .arg("--port-file")
            .arg(directory.join("port"))
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .expect("it starts");
        let port = eventually("the port file", async || {
            fs::read_to_string(directory.join("port")).ok()
        })
        .await;
        Self {
            child,
            directory,
            port: port.trim().to_owned(),
        }
    }

    fn secret_file(&self) -> PathBuf {
        self.directory.join("secret")
    }

    fn output(&self) -> String {
        fs::read_to_string(self.directory.join("output")).expect("its output")
    }

    async fn post(&self, signature: &str, body: &str) -> Answer {
        let headers = [
            ("BuildWorkPro-Signature", signature),
            ("BuildWorkPro-Event", "bid.accepted"),
            ("BuildWorkPro-Event-Id", "evt_1"),
        ];
        let url = format!("http://127.0.0.1:{}/", self.port);
        HttpClient::new()
            .send(Method::POST, &url, &headers, body.to_owned())
            .await
            .expect("it answers")
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A signature that is this many seconds old.
fn sign(secret: &str, body: &str, age: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970")
        .as_secs();
    let seconds = now - age;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={seconds},v1={hex}")
}

fn write_secret(file: &Path, secret: &str) {
    fs::write(file, format!("{secret}\n")).expect("the file can be written");
}

#[tokio::test]
async fn it_prints_what_arrived_and_whether_to_believe_it() {
    let mut sample = Sample::start().await;
    let body = r#"{"id":"evt_1","data":{"id":22,"n":1e400}}"#;
    sample.post(&sign("whsec_a", body, 0), body).await.expect(400);
    assert!(
        sample
            .output()
            .contains("received bid.accepted evt_1 signature INVALID: the secret cannot be read")
    );

    // The secret may come later, and change.
    write_secret(&sample.secret_file(), "whsec_a");
    sample.post(&sign("whsec_a", body, 0), body).await.expect(200);
    let verified = format!("received bid.accepted evt_1 signature verified\n{body}\n");
    assert!(sample.output().ends_with(&verified), "{}", sample.output());
    sample.post(&sign("whsec_b", body, 0), body).await.expect(400);
    write_secret(&sample.secret_file(), "whsec_b");
    sample.post(&sign("whsec_b", body, 0), body).await.expect(200);
    for (signature, why) in [
        (sign("whsec_b", body, 400), "more than 300 s"),
        (sign("whsec_b", "{}", 0), "another secret or for other bytes"),
        ("t=1,v1=00".to_owned(), "malformed"),
    ] {
        sample.post(&signature, body).await.expect(400);
        let output = sample.output();
        let line = output.lines().rev().nth(1).expect("two lines for each request");
        assert!(
            line.starts_with("received bid.accepted evt_1 signature INVALID: ") && line.contains(why),
            "{line}"
        );
    }
    // Nobody steers the terminal.
    sample.post("", "\u{1b}[2Jgone").await.expect(400);
    assert!(!sample.output().contains('\u{1b}'));

    let pid = sample.child.id().to_string();
    let sent = Command::new("sh")
        .args(["-c", "kill -s TERM \"$1\"", "sh", &pid])
        .status()
        .expect("a shell");
    assert!(sent.success());
    let status = eventually("it to end", async || {
        sample.child.try_wait().expect("a child can be asked")
    })
    .await;
    assert!(status.success(), "{status}");
}
