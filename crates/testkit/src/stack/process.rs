//! The real binaries as child processes: started, watched, killed.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs};

use hyper::Method;

use crate::eventually;
use crate::http::{Answer, HttpClient};

/// How much of a log a failed test shows.
const LINES_SHOWN: usize = 80;
/// How long a process may take to say whether it is ready; longer is no.
const READINESS_PATIENCE: Duration = Duration::from_secs(3);

/// A process of the system under test. It can be killed and started again, and keeps its ports and settings.
#[derive(Debug)]
pub struct Process {
    program: Program,
    admin: SocketAddr,
    http: HttpClient,
    child: Mutex<Option<Child>>,
}

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) binary: PathBuf,
    pub(super) environment: Vec<(String, String)>,
    pub(super) log: Log,
}

impl Process {
    pub(super) fn new(program: Program, admin: SocketAddr, http: HttpClient) -> Self {
        Self {
            program,
            admin,
            http,
            child: Mutex::new(None),
        }
    }

    /// Another value of an environment variable, from its next start on.
    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        set_variable(&mut self.program.environment, name, value);
    }

    /// Its name in this test.
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// What it has written.
    pub fn log(&self) -> &Log {
        &self.program.log
    }

    /// Start it and wait until it is ready.
    ///
    /// # Panics
    /// When it runs already, ends, or does not become ready; the message shows its log.
    pub async fn start(&self) {
        self.launch();
        self.wait_ready().await;
    }

    /// Start it and wait for nothing.
    ///
    /// # Panics
    /// When it runs already, or cannot be started.
    pub fn launch(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(child.is_none(), "{} runs already", self.name());
        *child = Some(self.program.spawn());
    }

    /// Wait until its admin port says that it is ready.
    ///
    /// # Panics
    /// When it ends, or does not become ready; the message shows its log.
    pub async fn wait_ready(&self) {
        self.wait_readiness(200).await;
    }

    /// Wait until its admin port says that it is not ready.
    ///
    /// # Panics
    /// When it ends, or stays ready.
    pub async fn wait_not_ready(&self) {
        self.wait_readiness(503).await;
    }

    async fn wait_readiness(&self, status: u16) {
        eventually(
            &format!("{} to answer {status} on /readyz", self.name()),
            async || {
                self.assert_runs();
                self.admin("/readyz")
                    .await
                    .ok()
                    .filter(|answer| answer.status.as_u16() == status)
            },
        )
        .await;
    }

    /// Whether its admin port says that it is ready, now.
    pub async fn is_ready(&self) -> bool {
        let answer = tokio::time::timeout(READINESS_PATIENCE, self.admin("/readyz")).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status.as_u16() == 200))
    }

    /// Ask its admin port.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin(&self, path: &str) -> Result<Answer, String> {
        self.http
            .send(Method::GET, &format!("http://{}{path}", self.admin), &[], "")
            .await
    }

    /// The value of a metric in one of its series, by the series' text, such as `name` or `name{label="x"}`.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.admin("/metrics").await.ok()?.text();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child
            .as_ref()
            .unwrap_or_else(|| panic!("{} does not run", self.program.name))
            .id()
    }

    /// How it has ended by itself, if it has.
    ///
    /// # Panics
    /// When it was not started, or was stopped.
    pub fn ended(&self) -> Option<ExitStatus> {
        match self.child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(child) => child.try_wait().expect("a child can be asked"),
            None => panic!("{} does not run", self.name()),
        }
    }

    /// The most memory that it has had resident since it began, or since [`Process::forget_peak_memory`], in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn peak_memory(&self) -> u64 {
        let file = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {file}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.unwrap_or_else(|| panic!("{} has no memory: it has ended", self.name())) * 1_024
    }

    /// Measure the peak of its memory from what it has now.
    ///
    /// # Panics
    /// When it does not run.
    pub fn forget_peak_memory(&self) {
        let file = format!("/proc/{}/clear_refs", self.pid());
        fs::write(&file, "5").unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
    }

    /// Fail if it has ended by itself.
    ///
    /// # Panics
    /// When it has.
    pub fn assert_runs(&self) {
        if let Some(status) = self.ended() {
            panic!("{} has ended by itself: {status}", self.name());
        }
    }

    /// Kill it, as `kill -9` would, if it runs.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // An error says that it is dead already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Send it SIGTERM, and wait for nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn terminate(&self) {
        signal("TERM", self.pid());
    }

    /// Wait until it ends.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_exit(&self) -> ExitStatus {
        let status = eventually(&format!("{} to end", self.name()), async || {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            child
                .as_mut()
                .expect("it was started")
                .try_wait()
                .expect("a child can be asked")
        })
        .await;
        self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        status
    }

    /// Stop it as an operator would, and wait for its end.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub async fn stop(&self) -> ExitStatus {
        self.terminate();
        self.wait_exit().await
    }

    /// Freeze it: it holds everything and does nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        signal("STOP", self.pid());
    }

    /// Let a frozen process go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        signal("CONT", self.pid());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Send a process a signal, by its name without `SIG`.
pub(super) fn signal(name: &str, pid: u32) {
    // The shell has its own `kill`, wherever the program may be.
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()])
        .status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "SIG{name} could not be sent to process {pid}"
    );
}

/// Give a variable another value.
pub(super) fn set_variable(environment: &mut Vec<(String, String)>, name: &str, value: &str) {
    environment.retain(|(known, _)| known != name);
    environment.push((name.to_owned(), value.to_owned()));
}

impl Program {
    fn command(&self, arguments: &[&str]) -> Command {
        let binary = built(&self.binary);
        // Should this test be killed, nobody drops us. Then the kernel ends our children, where `setpriv` is.
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        for name in ["PATH", "HOME", "LANG"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        // Not in our group: Ctrl-C and signals to a test runner's group are ours to pass on.
        command
            .stdin(Stdio::null())
            .stderr(self.log.file())
            .process_group(0);
        command
    }

    fn spawn(&self) -> Child {
        self.spawn_with(&[], &self.log)
    }

    /// Start it with these arguments; what it writes to standard output goes there.
    pub(super) fn spawn_with(&self, arguments: &[&str], stdout: &Log) -> Child {
        let child = self.command(arguments).stdout(stdout.file()).spawn();
        child.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.binary.display()))
    }

    /// Run it to its end, with this as its standard input; returns what it wrote to standard output.
    pub(super) async fn run(self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input, self.log.file().into()).await;
        let arguments = arguments.join(" ");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{} {arguments}: {}: {answer}{}",
            self.binary.display(),
            output.status,
            self.log.text()
        );
        answer
    }

    /// Run it to its end, whatever that is, with this as its standard input.
    pub(super) async fn output(&self, arguments: &[&str], input: &str, stderr: Stdio) -> Output {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let input = input.to_owned();
        // `Command::output` would capture what is not set to be elsewhere.
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn()?;
            let mut stdin = child.stdin.take().expect("it was asked for");
            // A program that does not read may have ended already; what it says is what counts.
            let _ = stdin.write_all(input.as_bytes());
            drop(stdin);
            child.wait_with_output()
        });
        ended
            .await
            .expect("it does not panic")
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.binary.display()))
    }
}

/// One of this workspace's binaries: beside the directory of the running test.
///
/// # Panics
/// When it has not been built.
pub fn binary(name: &str) -> PathBuf {
    built(&built_beside().join(name)).to_owned()
}

/// Where the binaries of a test's own build lie.
pub(super) fn built_beside() -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    let target = test.ancestors().nth(2);
    target.expect("a test lies in target/<profile>/deps").to_owned()
}

fn built(binary: &Path) -> &Path {
    assert!(
        binary.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins`, as `make test` does",
        binary.display()
    );
    binary
}

fn setpriv() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join("setpriv"))
        .find(|program| program.is_file())
}

/// What a process writes, in a file.
#[derive(Clone, Debug)]
pub struct Log(PathBuf);

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        fs::read(&self.0)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn file(&self) -> File {
        let opened = OpenOptions::new().create(true).append(true).open(&self.0);
        opened.unwrap_or_else(|error| panic!("cannot write {}: {error}", self.0.display()))
    }

    /// Show its end, for whoever reads the failure.
    pub(super) fn show(&self, name: &str) {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("--- the last lines of {name}");
        for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
            eprintln!("{line}");
        }
    }
}
