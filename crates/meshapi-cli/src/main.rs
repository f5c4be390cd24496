//! Parse, dispatch, exit code.

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    process::ExitCode,
};

use meshapi_cli::{
    cli::{self, Cli, Command, Stop},
    commands,
    config::Environment,
    exit::{Exit, Failure},
    repl::guard,
    ui::{live::terminal, theme::Theme},
};

fn main() -> ExitCode {
    // Started again by ourselves to confine a command: that comes before anything else is opened.
    #[cfg(target_os = "linux")]
    if let Some(code) = mesh_safety::sandbox::helper() {
        return code;
    }
    // This one becomes the command's exit code, whatever number that is.
    if let Some(wanted) = cli::parse_sandbox(std::env::args_os()) {
        return commands::sandbox::run(&wanted);
    }
    let cli = cli::parse(std::env::args_os());
    if let Ok(Cli { command: Some(Command::Sandbox(wanted)), .. }) = &cli {
        return commands::sandbox::run(wanted);
    }
    let exit = match cli {
        Ok(cli) => std::panic::catch_unwind(|| run(&cli)).unwrap_or_else(|_| broken()),
        Err(stop) => tell(&stop),
    };
    exit.into()
}

/// A fault inside ended the program: the terminal is given back, and what was held back of it is told.
fn broken() -> Exit {
    terminal::lend();
    match guard::held_panic() {
        Some(panic) => Failure::new(Exit::Failure, "internal", panic).show(&mut stderr(), Theme::PLAIN),
        None => Exit::Failure,
    }
}

fn run(cli: &Cli) -> Exit {
    let env = Environment::of_process();
    let theme = Theme::detect(&env.terminal, stderr().is_terminal() && !cli.plain);
    dispatch(cli, &env, theme).unwrap_or_else(|failure| failure.show(&mut stderr(), theme))
}

fn dispatch(cli: &Cli, env: &Environment, theme: Theme) -> Result<Exit, Failure> {
    match &cli.command {
        None => commands::exec::run(cli, env, theme),
        Some(Command::Demo(demo)) => commands::demo::run(*demo, theme),
        Some(Command::Completions(wanted)) => commands::completions::run(*wanted),
        Some(Command::Man) => commands::man::run(),
        Some(Command::Optimize(wanted)) => commands::optimize::run(wanted),
        Some(Command::Proxy(wanted)) => commands::proxy::run(wanted, &cli.settings, env, theme),
        Some(Command::Guard(wanted)) => commands::guard::run(wanted, env),
        // It has left before.
        Some(Command::Sandbox(_)) => Ok(Exit::Ok),
        Some(Command::Doctor(wanted)) => commands::doctor::run(*wanted, cli, env, theme),
        Some(Command::Mail(wanted)) => commands::mail::run(wanted, env),
        Some(Command::Gateway(wanted)) => commands::gateway::run(wanted, env),
    }
}

/// Prints help, version or a complaint. That nobody reads it is no failure.
fn tell(stop: &Stop) -> Exit {
    let _ = if stop.is_error {
        stderr().write_all(stop.text.as_bytes())
    } else {
        stdout().write_all(stop.text.as_bytes())
    };
    stop.exit
}
