//! What this machine really enforces: a command is confined and tries to get out, and only what held is claimed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{Job, Level, Policy, SandboxError, wrap};

/// How well commands can be confined here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strength {
    /// The level that was seen to hold.
    pub level: Level,
    /// Why it is not higher, for a person.
    pub lacks: Option<String>,
}

/// What was found, and for whom: another boot or another program looks again.
#[derive(Serialize, Deserialize)]
struct Remembered {
    of: String,
    strength: Strength,
}

/// Finds out how well this program can confine commands. What is found is kept in the file `remembered` for this boot and this
/// binary.
///
/// `helper` is a program that calls `sandbox::helper` first thing in `main`.
pub fn probe(helper: &Path, remembered: Option<&Path>) -> Strength {
    if let Some(known) = remembered.and_then(|file| recall(helper, file)) {
        return known;
    }
    let strength = look(helper);
    if let (Some(file), Some(of)) = (remembered, identity(helper)) {
        let known = Remembered { of, strength: strength.clone() };
        // A home that cannot be written: then it is looked for each time.
        let _ = serde_json::to_vec(&known).map(|text| fs::write(file, text));
    }
    strength
}

/// What was found before by this boot, binary and user; nothing is tried.
pub fn recall(helper: &Path, remembered: &Path) -> Option<Strength> {
    let known = fs::read(remembered).ok()?;
    let known: Remembered = serde_json::from_slice(&known).ok()?;
    (known.of == identity(helper)?).then_some(known.strength)
}

/// This boot and this binary and this user.
fn identity(helper: &Path) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let program = fs::canonicalize(helper).ok()?;
    let meta = fs::metadata(&program).ok()?;
    let changed = meta.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let user = fs::metadata("/proc/self").ok().map(|meta| owner(&meta));
    Some(format!("{} {} {} {} {user:?}", boot.trim(), program.display(), meta.len(), changed.as_nanos()))
}

#[cfg(unix)]
fn owner(meta: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(meta)
}

#[cfg(not(unix))]
fn owner(_: &fs::Metadata) -> u32 {
    0
}

/// Tries the levels from the highest down.
fn look(helper: &Path) -> Strength {
    let mut lacks = None;
    for level in [Level::Full, Level::NoMounts] {
        match holds(helper, level) {
            Ok(()) => return Strength { level, lacks },
            Err(why) => {
                lacks.get_or_insert(why);
            }
        }
    }
    Strength { level: Level::None, lacks }
}

/// What a confined shell tries. It may write in its folder; the file outside is neither read nor changed, though one of its
/// name may be made in the private `/tmp`.
const ATTEMPT: &str = r#"
echo inside >inside || exit 11
case "$(cat "$OUTSIDE")" in *secret*) exit 12 ;; esac
echo changed >"$OUTSIDE"
if echo x >/usr/meshapi-sandbox-probe; then exit 13; fi
exit 0
"#;

fn holds(helper: &Path, level: Level) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("only Linux is supported".into());
    }
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
    fs::create_dir(&root).and_then(|()| fs::write(&outside, "secret")).map_err(|error| error.to_string())?;
    let policy = Policy::new(&[root], None).map_err(|error| error.line())?;
    let cwd = policy.writable.first().cloned().unwrap_or_default();
    let job = Job {
        policy,
        level,
        cwd: cwd.clone(),
        argv: ["/bin/sh", "-c", ATTEMPT].map(Into::into).into(),
        env: Some(vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("OUTSIDE".into(), outside.clone().into_os_string()),
        ]),
        own_session: true,
        door: None,
        neighbours: Vec::new(),
        report: None,
    };
    let run = |job: &Job| -> Result<std::process::Output, SandboxError> {
        use super::error::Step;
        let mut command = Command::new(helper);
        command.arg(super::report::HELPER).env_clear().stdin(wrap::on_a_descriptor(job)?);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).output().step(|| "starting the helper".into())
    };
    let output = run(&job).map_err(|error| error.line())?;
    match output.status.code() {
        Some(0)
            if fs::read_to_string(&outside).is_ok_and(|text| text == "secret")
                && cwd.join("inside").exists() =>
        {
            Ok(())
        }
        Some(125) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.trim().trim_start_matches("meshapi sandbox: ").to_owned())
        }
        _ => Err(format!("a test command was not held back ({})", output.status)),
    }
}
