//! What a process says when its settings keep it from starting.

use std::any::TypeId;
use std::error::Error;
use std::io::{self, Write};
use std::process;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::{EXIT_BAD_CONFIGURATION, Sensitive};

const SEE_HELP: &str = "  Run with --help for every setting.\n";

/// Why there are no settings to run with.
#[derive(Debug)]
pub enum Refusal {
    /// `--help` or `--version` was asked for; the text goes to standard output.
    Answered(String),
    /// A setting is missing or wrong; the message goes to standard error. It shows no secret.
    Invalid(String),
}

impl Refusal {
    /// Print and end the process: with 0 when it answered a question, else with
    /// [`EXIT_BAD_CONFIGURATION`].
    pub fn exit(self) -> ! {
        // If the stream is gone there is nobody to tell; the exit code still speaks.
        match self {
            Self::Answered(text) => {
                let _ = io::stdout().write_all(text.as_bytes());
                process::exit(0)
            }
            Self::Invalid(message) => {
                let _ = io::stderr().write_all(message.as_bytes());
                process::exit(EXIT_BAD_CONFIGURATION)
            }
        }
    }

    /// From clap's error, in the words of the settings that `command` declares.
    pub(super) fn new(error: &clap::Error, command: &Command) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::Answered(error.render().to_string()),
            _ => Self::Invalid(message(error, command)),
        }
    }
}

/// The command with an empty variable counted as unset, and with what a [`Sensitive`] setting holds kept
/// out of `--help` even where its declaration forgot to say so.
pub(super) fn prepared(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let is_secret = is_secret(&arg);
            let arg = arg.hide_env_values(is_secret);
            let value = arg.get_env().and_then(std::env::var_os);
            if value.is_some_and(|value| value.is_empty()) {
                arg.env(Resettable::Reset)
            } else {
                arg
            }
        })
        .mut_subcommands(prepared)
}

fn message(error: &clap::Error, command: &Command) -> String {
    match error.kind() {
        ErrorKind::MissingRequiredArgument => missing(error, command),
        ErrorKind::InvalidUtf8 => not_text(command),
        // These name flags, commands and what they may be, and hold no setting's value.
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::ArgumentConflict
        | ErrorKind::NoEquals
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.render().to_string(),
        ErrorKind::UnknownArgument => unknown(error),
        _ => bad_value(error, command),
    }
}

fn missing(error: &clap::Error, command: &Command) -> String {
    let Some(ContextValue::Strings(flags)) = error.get(ContextKind::InvalidArg) else {
        return format!("error: a required setting is missing\n{SEE_HELP}");
    };
    let mut message = String::new();
    for flag in flags {
        message += &match Setting::find(command, flag) {
            Some(setting) => {
                format!(
                    "error: {} is required and not set\n{}",
                    setting.name(),
                    setting.explained()
                )
            }
            None => format!("error: {flag} is required and not given\n"),
        };
    }
    message + SEE_HELP
}

fn bad_value(error: &clap::Error, command: &Command) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg).unwrap_or("a setting");
    let Some(setting) = Setting::find(command, flag) else {
        // Whether an unknown setting is secret is unknown too.
        return format!("error: {flag} has a value that is not accepted\n{SEE_HELP}");
    };
    let name = setting.name();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let problem = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("write one of {}", valid.join(", "))
        }
        _ => "the value is not accepted".to_owned(),
    };

    let what = match setting.secrecy {
        _ if value.is_empty() => format!("{name} has no value"),
        Secrecy::Open => format!("{name} is {value:?}: {problem}"),
        Secrecy::Sensitive => format!("{name} is set, but {problem}"),
        // Its parser is not ours, and may quote what it could not read.
        Secrecy::Hidden => format!("{name} has a value that is not accepted; it is secret, so not shown"),
    };
    format!("error: {what}\n{}{SEE_HELP}", setting.explained())
}

/// A misspelt flag is shown; a stray value is not, because it may belong to a secret.
fn unknown(error: &clap::Error) -> String {
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) if text.starts_with("--") => text.split('=').next(),
        _ => None,
    };
    let similar = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(similar)) => format!("; did you mean {similar}?"),
        _ => String::new(),
    };
    match flag {
        Some(flag) => format!("error: there is no flag {flag}{similar}\n{SEE_HELP}"),
        None => {
            format!("error: an argument is not expected here; settings are written --flag VALUE\n{SEE_HELP}")
        }
    }
}

/// clap does not say whose value is not UTF-8, so look.
fn not_text(command: &Command) -> String {
    let culprit = all_args(command).into_iter().find(|arg| {
        arg.get_env()
            .and_then(std::env::var_os)
            .is_some_and(|value| value.into_string().is_err())
    });
    match culprit {
        Some(arg) => format!(
            "error: {} is not UTF-8 text; set it again\n{SEE_HELP}",
            Setting::of(arg).name()
        ),
        None => format!("error: an argument is not UTF-8 text; write it again\n{SEE_HELP}"),
    }
}

/// What an operator needs to know of one setting.
struct Setting {
    variable: Option<String>,
    flag: String,
    help: Option<String>,
    default: Option<String>,
    secrecy: Secrecy,
}

#[derive(Clone, Copy)]
enum Secrecy {
    /// Its value may be shown.
    Open,
    /// A [`Sensitive`], whose parser is ours and quotes nothing.
    Sensitive,
    /// Declared to hide its value, and read by a parser that is not ours.
    Hidden,
}

impl Setting {
    /// The setting that clap calls `shown`, such as `--log-format <FORMAT>`.
    fn find(command: &Command, shown: &str) -> Option<Self> {
        let flag = shown.split([' ', '=']).next().unwrap_or(shown);
        let mut found = all_args(command)
            .into_iter()
            .map(Self::of)
            .filter(|setting| setting.flag == flag);
        let mut setting = found.next()?;
        for other in found {
            // Two subcommands may use one flag for two things: say only what holds for both, and keep the
            // value to ourselves if either does.
            if other.help != setting.help {
                setting.help = None;
                setting.default = None;
            }
            // The wrong variable is worse than none.
            if other.variable != setting.variable {
                setting.variable = None;
            }
            if !matches!(other.secrecy, Secrecy::Open) {
                setting.secrecy = other.secrecy;
            }
        }
        Some(setting)
    }

    fn of(arg: &Arg) -> Self {
        let flag = match arg.get_long() {
            Some(long) => format!("--{long}"),
            None => arg.to_string(),
        };
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        Self {
            variable: arg.get_env().map(|name| name.to_string_lossy().into_owned()),
            flag,
            help: arg.get_help().map(|help| help.to_string()),
            default: (!defaults.is_empty()).then(|| defaults.join(",")),
            secrecy: match () {
                () if is_sensitive(arg) => Secrecy::Sensitive,
                () if is_secret(arg) => Secrecy::Hidden,
                () => Secrecy::Open,
            },
        }
    }

    fn name(&self) -> String {
        match &self.variable {
            Some(variable) => format!("{variable} ({})", self.flag),
            None => self.flag.clone(),
        }
    }

    fn explained(&self) -> String {
        let default = self
            .default
            .as_ref()
            .map(|default| format!(" (default {default})"))
            .unwrap_or_default();
        self.help
            .as_ref()
            .map(|help| format!("  It is: {help}{default}.\n"))
            .unwrap_or_default()
    }
}

fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set() || is_sensitive(arg)
}

fn is_sensitive(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<Sensitive>()
}

fn all_args(command: &Command) -> Vec<&Arg> {
    let mut args: Vec<_> = command.get_arguments().collect();
    args.extend(command.get_subcommands().flat_map(all_args));
    args
}
