//! A receiver that verifies with a library: `library svix|standardwebhooks`, the secret in WEBHOOK_SECRET.
//!
//! Each request is judged three times: as it came, with one byte of its body changed, and with its timestamp 301 s
//! older. It prints the three verdicts as one line of JSON and answers 200 only if the first is "believed".

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use http::{HeaderMap, HeaderName, HeaderValue};

type Verify = dyn Fn(&[u8], &HeaderMap) -> Result<(), String>;

fn main() {
    let secret = std::env::var("WEBHOOK_SECRET").expect("WEBHOOK_SECRET is set");
    let verify: Box<Verify> = match std::env::args().nth(1).as_deref() {
        Some("svix") => {
            let webhook = svix::webhooks::Webhook::new(&secret).expect("the library takes the secret");
            Box::new(move |body, headers| webhook.verify(body, headers).map_err(|error| error.to_string()))
        }
        Some("standardwebhooks") => {
            let webhook = standardwebhooks::Webhook::new(&secret).expect("the library takes the secret");
            Box::new(move |body, headers| webhook.verify(body, headers).map_err(|error| error.to_string()))
        }
        other => panic!("not a library that is known here: {other:?}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    println!("listening on {}", listener.local_addr().expect("bound").port());
    for stream in listener.incoming() {
        receive(stream.expect("a connection"), &*verify);
    }
}

/// One request of a connection, which is closed then.
fn receive(mut stream: TcpStream, verify: &Verify) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request line");
    let mut headers = HeaderMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let name: HeaderName = name.parse().expect("a name");
        headers.insert(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    let length = headers.get("content-length").expect("a length");
    let length: usize = length.to_str().expect("text").parse().expect("a number");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");

    let mut changed = body.clone();
    changed[length - 2] ^= 1;
    let mut older = headers.clone();
    for name in ["svix-timestamp", "webhook-timestamp"] {
        if let Some(value) = older.get_mut(name) {
            let seconds: i64 = value.to_str().expect("text").parse().expect("a number");
            *value = HeaderValue::from(seconds - 301);
        }
    }
    let verdict = |body: &[u8], headers: &HeaderMap| match verify(body, headers) {
        Ok(()) => "believed".to_owned(),
        Err(error) => error,
    };
    let genuine = verdict(&body, &headers);
    println!(
        "judged [{genuine:?}, {:?}, {:?}]",
        verdict(&changed, &headers),
        verdict(&body, &older)
    );
    let status = if genuine == "believed" {
        "200 OK"
    } else {
        "400 Bad Request"
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .expect("it is read");
}
