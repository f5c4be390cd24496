//! Every flag and command, with its help. Parsing touches no file and no network.

mod alone;

use std::{
    ffi::{OsStr, OsString},
    time::Duration,
};

pub use alone::parse_sandbox;
use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use mesh_safety::PermissionMode;

use crate::{config::Overrides, exit::Exit, ui::text};

/// An agentic coding CLI for the terminal, for the Mesh API.
#[derive(Clone, Debug, Parser)]
#[command(name = "meshapi", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do; without it and without `-p`, each line of a piped input is one prompt of one session.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Only print: no colours, no spinner, nothing that moves the cursor (also with TERM=dumb)
    #[arg(long)]
    pub plain: bool,

    /// A headless run.
    #[command(flatten)]
    pub headless: Headless,

    /// Settings of this run.
    #[command(flatten)]
    pub settings: RunSettings,
}

/// The commands beside a run.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Show a whole turn offline: no key, no network, no questions
    Demo(Demo),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Print the manual page
    Man,
    /// Make request bodies cheaper: one JSON body a line in, one a line out
    Optimize(Optimize),
    /// Ask what the guards say to a command, a path, an address or a text
    Guard(crate::commands::guard::args::Guard),
    /// Write to other agents, and read what they wrote
    Mail(crate::commands::mail::args::Mail),
    /// Keep mail for agents on several machines
    Gateway(crate::commands::gateway::args::Gateway),
    /// Make the requests of any client cheaper on their way, with receipts and caps
    Proxy(crate::commands::proxy::args::Proxy),
    /// Run a command confined: writes in this folder only, no keys, no network
    Sandbox(Sandbox),
    /// Look whether everything is here that a session needs, and how well commands are confined
    Doctor(Doctor),
}

/// `meshapi doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Doctor {
    /// Say it as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `meshapi sandbox`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Sandbox {
    /// A folder that may be written, instead of this one; may be given again
    #[arg(long, value_name = "DIR")]
    pub write: Vec<std::path::PathBuf>,
    /// A folder or file outside that may be read; may be given again
    #[arg(long, value_name = "PATH")]
    pub read: Vec<std::path::PathBuf>,
    /// A host that may be reached, with its port if not the web's; `*.HOST` for those below it; `registries` for package registries
    #[arg(long, value_name = "HOST")]
    pub allow_net: Vec<String>,
    /// A variable that is passed on; may be given again
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// Say on standard error, as one JSON line at the end, how it was confined and how it ended
    #[arg(long)]
    pub json: bool,
    /// The least that will do, or 125; without it, what this machine has, said on standard error when it is not full
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub level: Option<Least>,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// The least confinement that a command is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Least {
    /// A small root, namespaces, Landlock and seccomp
    Full,
    /// Landlock and seccomp only
    NoMounts,
}

/// `meshapi optimize`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Optimize {
    /// How hard to work: 0 (hands off) to 0.95; a body's `mesh_optimize` goes before it
    #[arg(long, value_name = "DIAL", default_value = "0.3")]
    pub dial: String,
    /// Whose levers: `mesh` (ours) or `reference` (those of the published packages)
    #[arg(long, value_enum, default_value = "mesh")]
    pub profile: Profile,
    /// Cache rules: auto (by the model), anthropic, prefix:R (automatic, reads at R times the price), none
    #[arg(long, value_name = "RULES", default_value = "auto")]
    pub provider: String,
    /// Append one JSON line for each settled request
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<std::path::PathBuf>,
    /// Keep the sessions in this folder between processes
    #[arg(long, value_name = "DIR")]
    pub state: Option<std::path::PathBuf>,
    /// Keep the texts that are cut in this folder, a file each, named in the notes that stand instead of them
    #[arg(long, value_name = "DIR")]
    pub retain: Option<std::path::PathBuf>,
    /// Leave this share of the sessions as they are, for comparison: 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub hold_out: String,
}

/// Whose levers `meshapi optimize` works with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Ours.
    #[default]
    Mesh,
    /// Those of the published packages.
    Reference,
}

/// `meshapi demo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Demo {
    /// Do not pause for reading
    #[arg(long)]
    pub fast: bool,
}

/// `meshapi completions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Completions {
    /// Whose script
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// What makes a run headless, and how it talks.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Headless {
    /// Run this prompt and end; `-` takes all of standard input as the prompt
    #[arg(
        short = 'p',
        long = "prompt",
        visible_alias = "print",
        value_name = "PROMPT",
        allow_hyphen_values = true
    )]
    pub prompt: Option<String>,

    /// What standard output carries
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub output_format: OutputFormat,

    /// Also send each piece of text as it arrives (with stream-json)
    #[arg(long)]
    pub include_partial_messages: bool,

    /// Work the messages of your peers, each in a turn of its own by the words of -p, and acknowledge each with what came of it
    #[arg(long, requires = "prompt")]
    pub inbox: bool,

    /// End after this many messages (with --inbox)
    #[arg(long, value_name = "N", requires = "inbox", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_messages: Option<u32>,

    /// Wait so long for the next message before ending, in seconds (with --inbox)
    #[arg(long, value_name = "SECONDS", requires = "inbox", default_value = "0", value_parser = seconds)]
    pub wait: Duration,

    /// Hold a message so long at a time, in seconds: after a crash it comes again by then (with --inbox)
    #[arg(long, value_name = "SECONDS", requires = "inbox", default_value = "60", value_parser = lease)]
    pub lease: Duration,

    /// What one turn may cost, in USD; looked at before each request
    #[arg(long, value_name = "USD", value_parser = money)]
    pub max_cost: Option<f64>,

    /// Accepted so that scripts written for other agents run; changes nothing
    #[arg(long)]
    pub verbose: bool,
}

/// Settings that hold for this run only and are never stored.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct RunSettings {
    /// Model for this run
    #[arg(long, value_name = "ID", value_parser = filled)]
    pub model: Option<String>,

    /// How much runs without a question; headless, what would ask is refused
    #[arg(long, value_name = "MODE", default_value = "default", value_parser = modes())]
    pub mode: PermissionMode,

    /// What the gateway should prefer among providers
    #[arg(long, value_enum, value_name = "ROUTE")]
    pub route: Option<Route>,

    /// How hard to work on cheaper requests: off, or 0 to 0.95
    #[arg(long, value_name = "DIAL", value_parser = dial)]
    pub optimize: Option<f64>,

    /// Who does that work
    #[arg(long, value_enum, value_name = "WHO", default_value_t = Optimizer::Client)]
    pub optimize_at: Optimizer,

    /// Let commands run with all your rights, not confined to this folder
    #[arg(long)]
    pub no_sandbox: bool,

    /// A host that commands may reach, with its port if not the web's; `registries` for package registries; may be given again
    #[arg(long, value_name = "HOST")]
    pub allow_net: Vec<String>,

    /// Pause a turn after this many requests; the work so far is kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_hops: Option<u32>,
}

/// What standard output carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// The model's text as it arrives; progress goes to standard error
    #[default]
    Text,
    /// One JSON object at the end
    Json,
    /// One JSON event per line
    StreamJson,
}

/// What the gateway should prefer. Seed 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Route {
    /// The lowest price
    Cheapest,
    /// The quickest answer
    Fastest,
    /// Between the two
    Balanced,
}

/// Who makes requests cheaper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Optimizer {
    /// This program, before a request goes out
    #[default]
    Client,
    /// The gateway; it is only told the dial
    Gateway,
}

/// Where the prompts of a run come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompts {
    /// One prompt, given as an argument. Standard input is never read.
    Argument(String),
    /// One prompt: all of standard input.
    Stdin,
    /// No prompt was given: lines of a piped standard input, or a person at a terminal.
    Lines,
}

/// Parsing ended the program: help, version, or wrong usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What is to be printed, its line feed included.
    pub text: String,
    /// It belongs on standard error.
    pub is_error: bool,
    /// How the process ends.
    pub exit: Exit,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  ok
  1  model or gateway error, or no key
  2  wrong usage or settings
  3  the turn ended, but a call was refused for want of approval
  4  hop or budget limit
  75  a message waits in the outbox
  130  interrupted

Environment:
  MESHAPI_API_KEY    key; else the one in ~/.meshapi/credentials
  MESHAPI_BASE_URL   address of the gateway, for this run
  MESHAPI_THEME      light or dark; NO_COLOR turns colours off
  MESHAPI_LOG        file for a trace; MESHAPI_LOG_LEVEL such as info,mesh_client=trace";

/// Reads the command line; `arguments` begins with the program's name.
///
/// # Errors
/// Help, version or wrong usage, as the text to print. What it repeats of the arguments holds no control characters.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Stop> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(cli) = arguments.get(1..).and_then(alone::parse) {
        return Ok(cli);
    }
    Cli::try_parse_from(&arguments).map_err(|error| {
        // The arguments are repeated in the message: read them again without what acts on a terminal.
        let clean = arguments.iter().map(|argument| clean(argument));
        let error = Cli::try_parse_from(clean).err().unwrap_or(error);
        let is_error = error.use_stderr();
        let text = text::sanitize(&error.render().to_string()).into_owned();
        Stop { text, is_error, exit: if is_error { Exit::Usage } else { Exit::Ok } }
    })
}

impl Headless {
    /// Where the prompts come from.
    pub fn prompts(&self) -> Prompts {
        match self.prompt.as_deref() {
            None => Prompts::Lines,
            Some("-") => Prompts::Stdin,
            Some(prompt) => Prompts::Argument(prompt.to_owned()),
        }
    }
}

impl RunSettings {
    /// The part that stands before the stored settings.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            model: self.model.clone(),
            route: self.route.map(|route| route.as_str().to_owned()),
            max_hops: self.max_hops,
            optimize: self.optimize,
            optimize_at_gateway: self.optimize_at == Optimizer::Gateway,
            no_sandbox: self.no_sandbox,
            allow_net: self.allow_net.clone(),
            system: None,
            lease: None,
        }
    }
}

impl Route {
    /// The word that is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Route::Cheapest => "cheapest",
            Route::Fastest => "fastest",
            Route::Balanced => "balanced",
        }
    }
}

/// The modes under their full names; the short ones are for the prompt. Seed 1.4.
const MODES: [(&str, PermissionMode); 4] = [
    ("default", PermissionMode::Default),
    ("accept-edits", PermissionMode::AcceptEdits),
    ("auto", PermissionMode::Auto),
    ("bypass", PermissionMode::Bypass),
];

/// The name of a mode as on the command line. Never empty (D-9).
pub fn mode_name(mode: PermissionMode) -> &'static str {
    MODES.iter().find(|(_, known)| *known == mode).map_or("default", |(name, _)| name)
}

fn modes() -> impl TypedValueParser<Value = PermissionMode> {
    PossibleValuesParser::new(MODES.map(|(name, _)| name)).map(|name| {
        MODES.iter().find(|(known, _)| *known == name).map_or_else(PermissionMode::default, |(_, m)| *m)
    })
}

/// Highest value of the optimise dial. Seed section 7.
pub const DIAL_MAX: f64 = 0.95;

/// The optimise dial as a person writes it.
///
/// # Errors
/// What is wrong with it.
pub fn dial(text: &str) -> Result<f64, &'static str> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(0.0);
    }
    match text.parse::<f64>() {
        // Adding zero turns -0.0 into 0.0.
        Ok(dial) if (0.0..=DIAL_MAX).contains(&dial) => Ok(dial + 0.0),
        Ok(dial) if !dial.is_nan() => Err("Dial range is 0 to 0.95."),
        _ => Err("Not a number: the dial takes 0 to 0.95, or off"),
    }
}

/// Longest wait that is taken: a worker that shall not end by itself is given years.
const MAX_WAIT_S: f64 = 1e9;

fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_WAIT_S).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds"),
    }
}

/// A gateway gives leases of 1 s to an hour.
fn lease(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds, 1 to 3600"),
    }
}

fn money(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(usd) if usd.is_finite() && usd > 0.0 => Ok(usd),
        _ => Err("an amount above 0"),
    }
}

fn filled(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("it is empty"),
        text => Ok(text.to_owned()),
    }
}

fn clean(argument: &OsStr) -> OsString {
    text::one_line(&argument.to_string_lossy()).into_owned().into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, Stop> {
        parse(std::iter::once("meshapi").chain(arguments.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help() {
        let text = |arguments: &[&str]| read(arguments).expect_err("help ends the program").text;
        insta::assert_snapshot!("help", Cli::command().term_width(100).render_long_help().to_string());
        insta::assert_snapshot!("help_demo", text(&["demo", "--help"]));
        let stop = read(&["--version"]).unwrap_err();
        assert_eq!(stop.text, format!("meshapi {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!((stop.exit, stop.is_error), (Exit::Ok, false));
    }

    #[test]
    fn a_headless_run() {
        let arguments =
            ["-p", "fix it", "--output-format", "stream-json", "--verbose", "--mode", "accept-edits"];
        let cli = read(&arguments).unwrap();
        assert_eq!(cli.headless.prompts(), Prompts::Argument("fix it".into()));
        assert_eq!(cli.headless.output_format, OutputFormat::StreamJson);
        assert_eq!(cli.settings.mode, PermissionMode::AcceptEdits);
        assert_eq!(read(&["-p", "-"]).unwrap().headless.prompts(), Prompts::Stdin);
        assert_eq!(
            read(&["-p", "--help me"]).unwrap().headless.prompts(),
            Prompts::Argument("--help me".into())
        );
        assert_eq!(read(&[]).unwrap().headless.prompts(), Prompts::Lines);
    }

    #[test]
    fn settings_of_the_run() {
        let arguments = ["--model", " a/b ", "--route", "fastest", "--max-hops", "3"];
        let cli =
            read(&[&arguments[..], &["--optimize", ".3", "--optimize-at", "gateway"]].concat()).unwrap();
        let want = Overrides {
            model: Some("a/b".into()),
            route: Some("fastest".into()),
            max_hops: Some(3),
            optimize: Some(0.3),
            optimize_at_gateway: true,
            no_sandbox: false,
            allow_net: Vec::new(),
            system: None,
            lease: None,
        };
        assert_eq!(cli.settings.overrides(), want);
        assert_eq!(read(&[]).unwrap().settings.overrides(), Overrides::default());
        assert_eq!(read(&["demo", "--fast"]).unwrap().command, Some(Command::Demo(Demo { fast: true })));
        for (name, mode) in MODES {
            assert_eq!(read(&["--mode", name]).unwrap().settings.mode, mode);
            assert_eq!(mode_name(mode), name);
        }
    }

    #[test]
    fn wrong_usage_ends_with_2_and_repeats_no_control_characters() {
        let rows: [&[&str]; 11] = [
            &["--optimize", "1"],
            &["--optimize-at", "home"],
            &["--mode", "yolo"],
            &["--mode", "\u{1b}[31mred\u{202e}"],
            &["--route", "default"],
            &["--route"],
            &["--max-hops", "0"],
            &["--model", " "],
            &["--output-format", "xml"],
            &["--nope\u{7}"],
            &["stray\u{1b}]0;title\u{7}"],
        ];
        let mut shown = String::new();
        for row in rows {
            let stop = read(row).expect_err("wrong usage");
            assert_eq!((stop.exit, stop.is_error), (Exit::Usage, true), "{row:?}");
            assert!(!stop.text.chars().any(|c| c.is_control() && c != '\n'), "{:?}", stop.text);
            shown.push_str(stop.text.lines().next().unwrap_or_default());
            shown.push('\n');
        }
        insta::assert_snapshot!(shown);
    }
}
