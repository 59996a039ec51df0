//! What an operator sees, from a real process with a real environment.
//!
//! The test binary starts itself, because the environment of a running process must not be changed:
//! `reads_its_settings` is the child when `CONFIGURATION_TEST_ARGS` is set.

use std::process::{Command, Output};
use std::time::Duration;

use clap::Parser;
use plumbline_runtime::config::{
    self, BrokerArgs, DatabaseArgs, DnsArgs, DrainArgs, LogArgs, MasterKeysArgs, TraceArgs,
};

const ARGS: &str = "CONFIGURATION_TEST_ARGS";

/// A process that exists only here.
#[derive(Parser, Debug)]
#[command(name = "sample", version = "1.2.3")]
struct Sample {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    master_keys: MasterKeysArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    drain: DrainArgs,
    #[command(flatten)]
    dns: DnsArgs,
    #[command(flatten)]
    traces: TraceArgs,
    /// Longest time one attempt may take
    #[arg(long, env = "PLUMBLINE_ATTEMPT_TIMEOUT", default_value = "10s", value_parser = config::positive_duration)]
    attempt_timeout: Duration,
    /// Number nobody may see
    #[arg(long, env = "PLUMBLINE_PIN", hide_env_values = true)]
    pin: Option<u16>,
    /// Secret whose declaration forgets to hide it
    #[arg(long, env = "PLUMBLINE_FORGETFUL")]
    forgetful: Option<config::Sensitive>,
    /// Whether to be lenient
    #[arg(long, env = "PLUMBLINE_LENIENT")]
    lenient: bool,
}

const REQUIRED: [(&str, &str); 3] = [
    ("PLUMBLINE_DATABASE_URL", "postgres://u:hunter2@db/plumbline"),
    ("PLUMBLINE_AMQP_URL", "amqp://u:hunter2@mq"),
    ("PLUMBLINE_MASTER_KEYS", "k1:hunter2"),
];

#[test]
fn settings_come_from_the_environment_and_flags_win() {
    let output = run(
        &["--drain-timeout", "5s"],
        &[
            ("PLUMBLINE_DRAIN_TIMEOUT", "7s"),
            ("PLUMBLINE_DNS_SERVERS", "10.0.0.1:5353,10.0.0.2"),
            ("PLUMBLINE_LENIENT", "true"),
        ],
    );
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for part in [
        "drain_timeout: 5s",
        "attempt_timeout: 10s",
        "dns_servers: [10.0.0.1:5353, 10.0.0.2:53]",
        "database_pool_size: 16",
        "log: \"info\"",
        "log_format: Text",
        "lenient: true",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let output = run(
        &[],
        &[("PLUMBLINE_DNS_SERVERS", ""), ("PLUMBLINE_ATTEMPT_TIMEOUT", "")],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("dns_servers: []"));
}

#[test]
fn a_bad_value_is_named_with_its_problem_and_remedy() {
    check(
        &[],
        &[("PLUMBLINE_ATTEMPT_TIMEOUT", "10")],
        &[
            r#"error: PLUMBLINE_ATTEMPT_TIMEOUT (--attempt-timeout) is "10": the number needs a unit; write whole numbers"#,
            "Longest time one attempt may take (default 10s)",
            "--help",
        ],
    );
    check(
        &["--attempt-timeout=0s"],
        &[],
        &[
            "PLUMBLINE_ATTEMPT_TIMEOUT (--attempt-timeout) is \"0s\"",
            "longer than zero",
        ],
    );
    check(
        &[],
        &[("PLUMBLINE_LOG_FORMAT", "xml")],
        &["PLUMBLINE_LOG_FORMAT (--log-format) is \"xml\": write one of text, json"],
    );
    check(
        &[],
        &[("PLUMBLINE_LENIENT", "perhaps")],
        &["PLUMBLINE_LENIENT (--lenient) is \"perhaps\": write one of true, false"],
    );
    check(
        &[],
        &[("PLUMBLINE_DATABASE_POOL_SIZE", "0")],
        &[
            "PLUMBLINE_DATABASE_POOL_SIZE (--database-pool-size) is \"0\": write a whole number from 1 to 1000",
        ],
    );
    check(
        &[],
        &[("PLUMBLINE_DNS_SERVERS", "10.0.0.1:53,dns:53")],
        &[
            "PLUMBLINE_DNS_SERVERS (--dns-servers) is \"dns:53\"",
            "write ip:port",
        ],
    );
    check(
        &[],
        &[("PLUMBLINE_OTLP_ENDPOINT", "collector:4318")],
        &[
            "PLUMBLINE_OTLP_ENDPOINT (--otlp-endpoint) is \"collector:4318\"",
            "such as http://collector:4318",
        ],
    );
    check(
        &[],
        &[("PLUMBLINE_OTLP_HEADERS", "hunter2")],
        &[
            "PLUMBLINE_OTLP_HEADERS (--otlp-headers)",
            "as name=value, comma-separated",
        ],
    );
    check(
        &[],
        &[("PLUMBLINE_TRACES_SAMPLER", "sometimes")],
        &[
            "PLUMBLINE_TRACES_SAMPLER (--traces-sampler) is \"sometimes\": write one of always_on",
            "parentbased_traceidratio",
        ],
    );
    check(
        &["--drain-timeout"],
        &[],
        &["PLUMBLINE_DRAIN_TIMEOUT (--drain-timeout) has no value"],
    );
    check(
        &["--drian-timeout=5s"],
        &[],
        &["there is no flag --drian-timeout; did you mean --drain-timeout?"],
    );
}

#[test]
fn a_missing_required_setting_is_named() {
    check(
        &[],
        &[("PLUMBLINE_DATABASE_URL", ""), ("PLUMBLINE_AMQP_URL", "")],
        &[
            "PLUMBLINE_DATABASE_URL (--database-url) is required and not set\n  It is: PostgreSQL to use, such as postgres://",
            "PLUMBLINE_AMQP_URL (--amqp-url) is required and not set\n  It is: RabbitMQ to use, such as amqp://",
        ],
    );
}

#[test]
fn no_message_shows_a_secret() {
    check(
        &["--database-url=   "],
        &[],
        &["PLUMBLINE_DATABASE_URL (--database-url) is set, but it is blank; give it a value"],
    );
    check(
        &["--pin=hunter2"],
        &[],
        &["PLUMBLINE_PIN (--pin) has a value that is not accepted; it is secret"],
    );
    check(
        &["postgres://u:hunter2@db"],
        &[],
        &["an argument is not expected here"],
    );
    check(
        &["--databaseurl=hunter2"],
        &[],
        &["there is no flag --databaseurl"],
    );
    check(
        &["--databaseurl", "hunter2"],
        &[],
        &["there is no flag --databaseurl"],
    );
    check(&["-phunter2"], &[], &["an argument is not expected here"]);
    check(
        &["--database-url", "x", "--database-url", "hunter2"],
        &[],
        &["cannot be used multiple times"],
    );
}

#[test]
fn help_and_version_exit_0_and_show_no_secret() {
    let output = run(
        &["--help"],
        &[("PLUMBLINE_FORGETFUL", "hunter2"), ("PLUMBLINE_PIN", "4711")],
    );
    let help = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    for variable in [
        "PLUMBLINE_DATABASE_URL",
        "PLUMBLINE_FORGETFUL",
        "PLUMBLINE_PIN",
        "PLUMBLINE_DRAIN_TIMEOUT",
    ] {
        assert!(help.contains(variable), "no {variable} in {help}");
    }
    assert!(!help.contains("hunter2") && !help.contains("4711"), "{help}");
    let (own, grouped) = help.split_once("Database:").expect("groups have headings");
    assert!(
        own.contains("--attempt-timeout"),
        "a process's own setting slid under a group: {help}"
    );
    assert!(grouped.contains("--database-url"), "{help}");

    let output = run(&["--version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("sample 1.2.3"));
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_not_text_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = child(&[]);
    command.env("PLUMBLINE_LOG", std::ffi::OsStr::from_bytes(b"\xff"));
    let output = command.output().expect("this binary starts");
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("PLUMBLINE_LOG (--log) is not UTF-8 text"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn reads_its_settings() {
    let Ok(args) = std::env::var(ARGS) else { return };
    let args = args.split('\u{1f}').filter(|arg| !arg.is_empty()).map(Into::into);
    match config::try_parse_from::<Sample>(std::iter::once("sample".into()).chain(args)) {
        // The child of a test, whose stdout is the result.
        Ok(sample) => {
            use std::io::Write;
            writeln!(std::io::stdout(), "{sample:?}").expect("the parent reads");
        }
        Err(refusal) => refusal.exit(),
    }
}

fn check(args: &[&str], env: &[(&str, &str)], expected: &[&str]) {
    let output = run(args, env);
    let shown = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(config::EXIT_BAD_CONFIGURATION),
        "{args:?} {env:?}: {shown}"
    );
    for part in expected {
        assert!(shown.contains(part), "{args:?} {env:?}: no {part:?} in {shown}");
    }
    assert!(!shown.contains("hunter2"), "{args:?} {env:?}: {shown}");
}

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    child(args)
        .envs(env.iter().copied())
        .output()
        .expect("this binary starts")
}

fn child(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "reads_its_settings", "--nocapture"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLUMBLINE_")) {
        command.env_remove(name);
    }
    command.env(ARGS, args.join("\u{1f}")).envs(REQUIRED);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
